"""Public names of an application: definitions, publishing, and endpoints of an app elsewhere."""
