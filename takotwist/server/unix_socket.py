"""The place of a Unix socket: cleared of what a crash left, and never open to others.

Rule: a socket file is removed only when nobody answers behind it, and a new
one has its mode from the first moment.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from takotwist.errors import ConfigError
from takotwist.server.config.endpoint_text import LONGEST_SOCKET_PATH, EndpointText

#: Seconds that a listening process has to take the probing connection.
PATIENCE = 1.0


@contextmanager
def binding(endpoint: EndpointText) -> Iterator[None]:
    """Around the listening on a Unix endpoint.

    Two servers that start at once do this one after the other, so neither removes the socket
    that the other has just made.

    :raises ConfigError: the path is taken, too long, or cannot be used.
    """
    path = endpoint.path or ""
    if len(path.encode()) > LONGEST_SOCKET_PATH:
        raise ConfigError(
            f"has a path of more than {LONGEST_SOCKET_PATH} bytes, which the system does not take",
            source=str(endpoint),
        )
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, mode=0o750, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    mode = endpoint.options.get("mode")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _clear(path)
        # bind() makes the file with what the mask leaves, and only then is its mode set.
        before = os.umask(0o777 & ~int(mode, 8)) if mode else None
        try:
            yield
        finally:
            if before is not None:
                os.umask(before)
    finally:
        os.close(descriptor)


#: (device, inode) of a socket file.
Place = tuple[int, int]


def place_of(path: str) -> Place | None:
    """Which file is at `path`; `None` where none is."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def hold_place(path: str) -> None:
    """Put an empty file where a socket was removed: Twisted removes it when it closes the port."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _clear(path: str) -> None:
    """Remove a socket that nobody serves any more."""
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise ConfigError("is there already and is no socket; move it away", source=path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PATIENCE)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except FileNotFoundError:
            return
        except OSError as failure:
            # A full queue, a missing right: somebody may well be there.
            raise ConfigError(
                f"is in use, or not ours to try: {failure.strerror or failure}", source=path
            ) from None
    raise ConfigError("is served by another process; stop that one first", source=path)
