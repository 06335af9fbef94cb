"""The server's end of live objects: channels, broadcast channels, their callbacks and outcomes."""
