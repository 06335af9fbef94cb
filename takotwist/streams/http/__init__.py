"""HTTP/1.1 and HTTP/2 connections, requests and responses, bounded."""
