"""Accounts: a signed cookie that names its owner."""

from __future__ import annotations

import os

from itsdangerous import BadSignature, URLSafeTimedSerializer

COOKIE = "user"
_signed = URLSafeTimedSerializer(os.environ.get("SECRET_KEY", "change-me"), salt="user")


def cookie_for(user: str) -> str:
    """The cookie's value for one user."""
    return _signed.dumps(user)


def user_of(cookie: str | None) -> str | None:
    """The user whose cookie this is, for a day."""
    try:
        user: str = _signed.loads(cookie or "", max_age=86_400)
    except BadSignature:
        return None
    return user
