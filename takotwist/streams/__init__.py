"""Streaming primitives that any Klein or twisted.web resource can use."""
