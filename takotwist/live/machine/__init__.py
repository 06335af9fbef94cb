"""The frame machine of live objects: pure, knows frames alone."""
