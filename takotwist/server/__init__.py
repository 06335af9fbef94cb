"""The server: configuration, composition, listeners, start and stop, on the real reactor."""
