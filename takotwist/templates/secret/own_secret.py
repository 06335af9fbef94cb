"""The secret that signs cookies: made once on each machine, for its owner alone."""

import os
import secrets
from functools import cache
from pathlib import Path

FILE = Path(__file__).parent / "state" / "cookie-secret"


@cache
def own_secret():
    """The secret: SECRET_KEY of the environment, or what the file has, which is made if need be."""
    given = os.environ.get("SECRET_KEY")
    if given:
        return given.encode()
    FILE.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        descriptor = os.open(FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return FILE.read_bytes()
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_hex(32).encode())
    return FILE.read_bytes()
