"""Adapters behind the ports: logs and authorizers."""
