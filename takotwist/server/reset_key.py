"""The key of QUIC's stateless resets, which outlives the process.

By what is made of it, clients of a server that was killed learn from the next one that
their connection is gone (RFC 9000 section 10.3).  Rule: who has it can end anybody's
connection, so only the server's user can read it.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from takotwist.errors import ConfigError

NAME = "quic-reset.key"
SIZE = 32


def reset_key(state_dir: Path) -> bytes:
    """The key in a folder; made at the first start, and anew where it cannot be one.

    :raises ConfigError: it can neither be read nor written.
    """
    path = state_dir / NAME
    try:
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            key = b""
        if len(key) == SIZE:
            return key
        key = secrets.token_bytes(SIZE)
        fresh = path.with_name(f"{NAME}.new")
        fresh.unlink(missing_ok=True)
        # Its mode from the beginning, and never half of it.
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key)
        fresh.replace(path)
    except OSError as failure:
        raise ConfigError(
            f"{NAME} cannot be kept there: {failure.strerror}", key="state_dir", source=str(path)
        ) from None
    return key
