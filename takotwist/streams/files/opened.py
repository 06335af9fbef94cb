"""Open files: opened once, judged by the descriptor, read by offset; and their sidecars.

Every fact about a file (size, time, inode, where it really is) is asked of the open
descriptor and never of its name again, so a name that changes its meaning between two looks
cannot change what is sent.

A sidecar is a compressed copy beside the original: `<file>.br`, `<file>.gz` or `<file>.zst`.
One that is older than its original is never sent: it would be yesterday's page under today's
address.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence

import attrs

from takotwist.streams.files.conditions import ETag, tag_of
from takotwist.streams.files.headers import IDENTITY, rank

# O_NONBLOCK: opening a FIFO must not hang the reactor; on a regular file it has no effect.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

_NOT_THERE = {
    *(errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG),
    # a socket or a device without a driver; an embedded NUL is a ValueError
    *(errno.ENXIO, errno.ENODEV, errno.EINVAL),
}
_FORBIDDEN = {errno.EACCES, errno.EPERM}
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


class CannotOpen(Exception):
    """A name is not served.

    :ivar status: the HTTP status that says so: 403, 404, 500 or 503.
    :ivar reason: for the log, never for the client.
    """

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(f"{status}: {reason}")


class IsFolder(CannotOpen):
    """The name is that of a folder."""

    def __init__(self) -> None:
        super().__init__(404, "a folder")


class FileChanged(Exception):
    """The file is not what its headers said any more."""


@attrs.define(eq=False)
class OpenedFile:
    """A regular file, open for reading, with its facts at the time it was opened.

    :ivar size: its length in bytes.
    :ivar mtime_ns: its modification time in nanoseconds since the epoch.
    :ivar inode: its inode number.
    """

    descriptor: int
    size: int
    mtime_ns: int
    inode: int

    def read(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset`.

        :raises FileChanged: they are not there, or the file was written to.
        """
        data = os.pread(self.descriptor, count, offset)
        if len(data) != count:
            raise FileChanged(f"{count} bytes at {offset} became {len(data)}")
        self.check_unchanged()
        return data

    def check_unchanged(self) -> None:
        """Raise `FileChanged` where size or time differ from when it was opened."""
        now = os.fstat(self.descriptor)
        if now.st_size != self.size or now.st_mtime_ns != self.mtime_ns:
            raise FileChanged("size or modification time changed")

    def close(self) -> None:
        """Give the descriptor back; a second call does nothing."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def open_file(path: bytes) -> OpenedFile:
    """Open the regular file `path`, following symbolic links.

    :raises CannotOpen: it is not there, is no regular file, or may not be read.
    """
    return _opened(path, lambda descriptor: True)


def _opened(path: bytes, inside: Callable[[int], bool]) -> OpenedFile:
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        raise _refusal(error) from None
    except ValueError:
        raise CannotOpen(404, "the name holds a NUL") from None
    try:
        if not inside(descriptor):
            raise CannotOpen(404, "it lies outside of the folder")
        facts = os.fstat(descriptor)
        if stat.S_ISDIR(facts.st_mode):
            raise IsFolder()
        if not stat.S_ISREG(facts.st_mode):
            raise CannotOpen(404, "no regular file")
    except BaseException:
        os.close(descriptor)
        raise
    return OpenedFile(descriptor, facts.st_size, facts.st_mtime_ns, facts.st_ino)


class Folder:
    """A folder out of which nothing is opened that really lies elsewhere.

    Symbolic links are followed, and what was opened must be inside: links
    within the folder work, links out of it do not.  Refusing all links
    (O_NOFOLLOW on each step) was rejected because deployments use them.

    :param path: the folder; it may itself be a link, which may be switched to
        another folder at any time.
    """

    def __init__(self, path: str | bytes | os.PathLike[str]) -> None:
        self._path = os.path.abspath(os.fsencode(path))
        self._inside = self._resolve()
        if not os.path.isdir(self._path):
            raise NotADirectoryError(errno.ENOTDIR, "not a folder", os.fsdecode(self._path))

    def open(self, relative: bytes) -> OpenedFile:
        """Open the regular file called `relative`.

        :raises IsFolder: it is a folder inside.
        :raises CannotOpen: it is not served.
        """
        path = self._path + b"/" + relative if relative else self._path
        return _opened(path, lambda descriptor: self._holds(descriptor, path))

    def _holds(self, descriptor: int, path: bytes) -> bool:
        real = _real_path(descriptor, path)
        if real is None:
            return False
        if (real + b"/").startswith(self._inside):
            return True
        # The folder's own link may have been switched since; look again before refusing.
        self._inside = self._resolve()
        return (real + b"/").startswith(self._inside)

    def _resolve(self) -> bytes:
        return os.path.realpath(self._path).rstrip(b"/") + b"/"


def _real_path(descriptor: int, path: bytes) -> bytes | None:
    """Path at which an open descriptor really is, free of symbolic links."""
    try:
        return os.readlink(b"/proc/self/fd/%d" % descriptor)
    except OSError:
        # No /proc: resolve the name again and insist that it is still the same inode.
        real = os.path.realpath(path)
        try:
            same = os.path.samestat(os.lstat(real), os.fstat(descriptor))
        except OSError:
            return None
        return real if same else None


def _refusal(error: OSError) -> CannotOpen:
    reason = os.strerror(error.errno or 0)
    if error.errno in _NOT_THERE:
        return CannotOpen(404, reason)
    if error.errno in _FORBIDDEN:
        return CannotOpen(403, reason)
    if error.errno in _EXHAUSTED:
        return CannotOpen(503, reason)
    return CannotOpen(500, reason)


# Sidecars

#: content coding -> suffix of a sidecar's name
SUFFIXES = {"br": b".br", "gzip": b".gz", "zstd": b".zst"}


@attrs.frozen(eq=False)
class Variant:
    """The representation that was selected.

    :ivar file: what is sent; whoever holds the variant closes it.
    :ivar coding: its content coding, ``identity`` for the original.
    :ivar modified_ns: when the original was modified.
    """

    file: OpenedFile
    coding: str
    modified_ns: int

    @property
    def etag(self) -> ETag:
        """Made of the facts of the very file that is sent."""
        return tag_of(self.file.size, self.file.mtime_ns, self.file.inode, self.coding)


def check_codings(precompressed: Sequence[str]) -> tuple[str, ...]:
    """The codings as a tuple; a `ValueError` that names one we know no suffix for."""
    for coding in precompressed:
        if coding not in SUFFIXES:
            known = ", ".join(sorted(SUFFIXES))
            raise ValueError(f"precompressed: {coding!r} is none of {known}")
    return tuple(precompressed)


def choose(
    open_named: Callable[[bytes], OpenedFile],
    name: bytes,
    precompressed: Sequence[str],
    accept_encoding: bytes | None,
    *,
    wants_range: bool,
) -> Variant | None:
    """Open what fits the request best.

    A request for a range gets the original where it takes that at all: offsets
    into a compressed copy are of no use to anyone who seeks, and a client that
    mixes the two corrupts its download.

    :param open_named: opens a file by name, raising `CannotOpen`.
    :param wants_range: whether the request carries a Range that may count.
    :return: `None` where the client accepts nothing that is there (406).
    :raises CannotOpen: of the original; that of a sidecar only means there is none.
    """
    original = open_named(name)
    if not precompressed:
        return Variant(original, IDENTITY, original.mtime_ns)
    codings = rank(accept_encoding, precompressed)
    if wants_range and IDENTITY in codings:
        codings = (IDENTITY,)
    for coding in codings:
        if coding == IDENTITY:
            return Variant(original, IDENTITY, original.mtime_ns)
        sidecar = _fresh_sidecar(open_named, name + SUFFIXES[coding], original)
        if sidecar is not None:
            original.close()
            return Variant(sidecar, coding, original.mtime_ns)
    original.close()
    return None


def _fresh_sidecar(
    open_named: Callable[[bytes], OpenedFile], name: bytes, original: OpenedFile
) -> OpenedFile | None:
    try:
        sidecar = open_named(name)
    except CannotOpen:
        return None
    if sidecar.mtime_ns < original.mtime_ns:
        sidecar.close()
        return None
    return sidecar
