"""The protocol machine of one live object, with its frames and their codec: pure, no I/O."""
