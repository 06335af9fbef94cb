"""Accounts.  A real app looks into its session store."""

from __future__ import annotations

_USERS = {"token-of-alice": "alice", "token-of-bob": "bob"}


def user_of(token: str) -> str | None:
    """The user whose token this is."""
    return _USERS.get(token)
