"""Connections with many topics."""
