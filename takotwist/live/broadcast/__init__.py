"""The bus between live objects: in memory, and durable on the replay log."""
