"""One server for one replay log.

Two servers that write one log would each fan out only what came to itself, and
subscribers of the other would miss it silently.  Rule: the second one does not
start; a lock of the kernel's is gone with its process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from takotwist.errors import ConfigError


def lock_log(path: Path) -> IO[str]:
    """Take the log at `path` for this process.

    :return: to be kept for as long as the lock is wanted.  A child that daemonizes
        inherits it.
    :raises ConfigError: another server has it.
    """
    lock = path.with_name(f"{path.name}.lock")
    try:
        file = os.fdopen(os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
    except OSError as failure:
        raise ConfigError(
            f"its lock {lock} cannot be opened: {failure.strerror}", key="replay.path"
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = file.read().strip() or "unknown"
        file.close()
        raise ConfigError(
            f"another server (process {owner}) has {path}: stop it, or give this one a"
            " state_dir of its own",
            key="replay.path",
        ) from None
    return file


def sign_lock(file: IO[str]) -> None:
    """Write down whose lock it is; after daemonizing, when the process id is final.

    The lock holds without it, so a full disk keeps no server from starting.
    """
    with suppress(OSError):
        os.ftruncate(file.fileno(), 0)
        os.pwrite(file.fileno(), f"{os.getpid()}\n".encode(), 0)
