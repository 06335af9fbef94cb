"""Which file answers: the original, or a compressed copy that lies beside it.

A sidecar is `<file>.br`, `<file>.gz` or `<file>.zst`.  One that is older than
its original is never sent: it would be yesterday's page under today's address.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from takotwist.streams.files.negotiate import IDENTITY, rank
from takotwist.streams.files.opened import CannotOpen, OpenedFile
from takotwist.streams.files.validators import ETag, tag_of

#: content coding -> what a sidecar's name ends in
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
