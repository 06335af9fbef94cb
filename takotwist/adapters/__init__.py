"""What stands behind the ports: logs and authorizers."""
