"""The client without I/O: connections, subscriptions and resume as pure machines."""
