"""Subjects whose older tokens are void: a file, watched.

A line is the time in unix seconds, a space, and the subject: what was issued to it before
that time counts no more.  `tako token revoke` adds one, also while the server runs.
Rule: a file that cannot be read changes nothing, so nobody comes back by a fault of the disk.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from twisted.logger import Logger

from takotwist.errors import ConfigError

#: Bytes of the file; some twenty thousand subjects.
MAX_BYTES = 1_048_576


class Revocations:
    """Content of the file now.

    :param path: the file; where there is none, nothing is revoked.
    :raises ConfigError: there is one that cannot be read.
    """

    log = Logger()

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = _mark(path)
        self._complaint = ""
        try:
            self._until = read_revocations(path)
        except ValueError as bad:
            raise ConfigError(f"names {path}, which {bad}", key="tokens.revoked_file") from None

    def revoked(self, subject: str | None, issued_at: float | None) -> bool:
        """`True` if a token is void.  One that does not say when it was issued is an old one."""
        until = None if subject is None else self._until.get(subject)
        return until is not None and (issued_at is None or issued_at <= until)

    def look(self) -> frozenset[str]:
        """Read the file if it has changed.

        :return: the subjects that it revokes since then.
        """
        mark = _mark(self.path)
        if mark == self._seen:
            return frozenset()
        try:
            until = read_revocations(self.path)
        except ValueError as bad:
            if str(bad) != self._complaint:
                self._complaint = str(bad)
                self.log.error("{path} {reason}", path=str(self.path), reason=str(bad))
            return frozenset()
        before, self._until = self._until, until
        self._seen, self._complaint = mark, ""
        return frozenset(
            subject for subject, at in until.items() if at > before.get(subject, float("-inf"))
        )


def _mark(path: Path) -> object:
    """Something that is another one when the file has changed."""
    try:
        status = path.stat()
    except OSError as failure:
        return failure.errno
    return status.st_ino, status.st_mtime_ns, status.st_size


def read_revocations(path: Path) -> Mapping[str, float]:
    """Subject -> the time up to which its tokens are void.

    :raises ValueError: the file cannot be used, as it follows its name.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as failure:
        raise ValueError(f"cannot be read: {failure.strerror}") from None
    if len(content) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES} bytes: remove lines of tokens that expired")
    until: dict[str, float] = {}
    for number, line in enumerate(content.decode("utf-8", "surrogateescape").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        at, space, subject = line.partition(" ")
        if not (at.isascii() and at.isdigit() and space and subject):
            raise ValueError(f"has a line, {number}, that is no time and subject")
        until[subject] = max(until.get(subject, 0.0), float(at))
    return until


def revoke(path: Path, subject: str, at: int) -> None:
    """Add a line.

    :param at: unix seconds.
    :raises ValueError: it cannot be added; says why, without the path.
    """
    if not subject or subject.splitlines() != [subject] or "\0" in subject:
        raise ValueError("a subject is text of one line")
    line = f"{at} {subject}\n".encode("utf-8", "surrogateescape")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "rb+", buffering=0) as stream:
            size = os.fstat(descriptor).st_size
            if size + len(line) >= MAX_BYTES:
                raise ValueError("the file is full: remove lines of tokens that expired")
            if size:
                stream.seek(-1, os.SEEK_END)
                line = line if stream.read(1) == b"\n" else b"\n" + line
            if os.write(descriptor, line) != len(line):
                # A part of a line would revoke nobody, and keep the file from being read.
                os.ftruncate(descriptor, size)
                raise ValueError("the disk is full")
            os.fsync(descriptor)
    except OSError as failure:
        raise ValueError(failure.strerror or "it cannot be written") from None
