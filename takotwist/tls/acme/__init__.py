"""Certificates of a public authority, obtained and renewed by ACME (RFC 8555)."""
