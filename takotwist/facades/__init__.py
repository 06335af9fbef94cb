"""Protocols of other systems, spoken over the same topics."""
