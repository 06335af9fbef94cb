"""Publish and subscribe by key: the bus in memory, and durable keys on the replay log."""
