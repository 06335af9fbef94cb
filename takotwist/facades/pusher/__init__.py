"""The Pusher protocol, version 7, for clients and libraries that people already have.

A channel of Pusher is a topic: what is triggered on it is stored before it is delivered, and
is followed by our own clients too.  `docs/protocol/pusher.md` is the page for users.

Rule: nothing here is imported by a server that configures no app of Pusher's.
"""
