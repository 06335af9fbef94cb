"""Clients and libraries for the Pusher protocol that other people wrote, driven line by line."""
