"""Who is logged in: a name in a cookie, signed so that nobody can make one up."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path


class Sessions:
    """Signs and reads session cookies."""

    def __init__(self, secret_file: Path) -> None:
        secret_file.parent.mkdir(parents=True, exist_ok=True)
        if not secret_file.exists():
            descriptor = os.open(secret_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(32))
        self._secret = secret_file.read_bytes()

    def cookie_for(self, name: str) -> str:
        """The cookie of a user."""
        encoded = urlsafe_b64encode(name.encode()).decode()
        return f"{encoded}.{self._signature(encoded)}"

    def name_in(self, cookie: str | None) -> str | None:
        """The user of a cookie, or `None` where it is none of ours."""
        encoded, _, signature = (cookie or "").partition(".")
        if not hmac.compare_digest(signature, self._signature(encoded)):
            return None
        return urlsafe_b64decode(encoded).decode()

    def _signature(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()


sessions = Sessions(Path(__file__).parent.parent / "state" / "session-secret")
