"""The private parts of libraries that are used, in one place."""
