"""The secret that signs cookies: made once on each machine, for its owner alone."""

import os
import secrets
from contextlib import suppress
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
    if not FILE.exists():
        # Put there whole: of several processes that begin together one makes it, and none of
        # them reads an empty file.
        made = FILE.with_name(f"{FILE.name}.{os.getpid()}")
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        with suppress(FileExistsError):
            os.link(made, FILE)
        made.unlink()
    return FILE.read_bytes()
