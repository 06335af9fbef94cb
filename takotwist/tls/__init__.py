"""Certificates, and the contexts that serve them."""
