"""Live objects and functions on the server's HTTP, SSE and WebSocket connections."""
