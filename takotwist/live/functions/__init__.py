"""Functions that pages call: discovery, verification, calls and results."""
