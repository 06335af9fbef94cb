"""The Durable Streams protocol: streams of bytes or of JSON, with offsets and an end, over HTTP."""
