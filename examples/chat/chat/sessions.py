"""Logins: a name in a cookie, signed so that nobody can make one up."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from pathlib import Path


class Sessions:
    """Signs and reads session cookies."""

    def __init__(self, secret_file: Path) -> None:
        secret_file.parent.mkdir(parents=True, exist_ok=True)
        if not secret_file.exists():
            # Put there whole: of several processes that begin together one makes it, and none
            # of them reads an empty file.
            made = secret_file.with_name(f"{secret_file.name}.{os.getpid()}")
            with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                file.write(secrets.token_bytes(32))
            with suppress(FileExistsError):
                os.link(made, secret_file)
            made.unlink()
        self._secret = secret_file.read_bytes()

    def cookie_for(self, name: str) -> str:
        """The cookie of a user."""
        encoded = urlsafe_b64encode(name.encode()).decode()
        return f"{encoded}.{self._signature(encoded)}"

    def name_in(self, cookie: str | None) -> str | None:
        """The user of a cookie, or `None` where it is none of ours."""
        encoded, _, signature = (cookie or "").partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(encoded).encode()):
            return None
        return urlsafe_b64decode(encoded).decode()

    def _signature(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()


sessions = Sessions(Path(__file__).parent.parent / "state" / "session-secret")
