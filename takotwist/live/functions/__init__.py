"""Functions that pages call: declaration, discovery, verification, calls and results."""
