"""Live objects over HTTP and WebSocket."""
