"""The Durable Streams protocol."""
