"""The channel protocol on HTTP, SSE and WebSocket."""
