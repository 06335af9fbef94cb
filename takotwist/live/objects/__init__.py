"""What an application holds: channels, broadcast channels, callbacks."""
