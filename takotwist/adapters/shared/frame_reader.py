"""Bytes between a worker and the log's writer, to frames, and the version of those.

Each side begins with a preamble that says which version of the frames it speaks, and that no
version changes.  Rule: of another version not one frame is read: an upgrade has processes of two
versions side by side for a moment, and what one has written the other must not misread.
(To speak the other's version was the alternative.  Both are of one release as soon as the
rolling restart is over; so it would be code that runs for seconds, and is never tested in use.)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

#: Of the frames in `takotwist.adapters.shared.frames`.  Any change of them raises it.
VERSION = 2

#: Longest frame: a batch or a page, of at most 4 MiB each, and one message more.
MAX_FRAME = 64 * 2**20

_PREAMBLE = struct.Struct("!4sI")
_MAGIC = b"tako"

LENGTH = struct.Struct("!I")


class OtherVersion(Exception):
    """The other side speaks another version.

    :ivar version: as it said; 0 where it said none.
    """

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


def preamble(version: int) -> bytes:
    """The first bytes of a side."""
    return _PREAMBLE.pack(_MAGIC, version)


class FrameReader:
    """Cuts what comes into frames.

    :param version: of them.
    """

    def __init__(self, version: int = VERSION) -> None:
        self._version = version
        self._begun = False
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The frames that are whole now.

        :raises OtherVersion: they are none of this version.
        :raises ValueError: a frame is longer than any may be.
        """
        held = self._held
        held += data
        at = 0
        try:
            if not self._begun:
                if len(held) < _PREAMBLE.size:
                    return
                at = self._begin(held)
            while len(held) - at >= LENGTH.size:
                [size] = LENGTH.unpack_from(held, at)
                if size > MAX_FRAME:
                    raise ValueError(f"a frame of {size} bytes")
                end = at + LENGTH.size + size
                if len(held) < end:
                    break
                body = bytes(held[at + LENGTH.size : end])
                at = end
                yield body
        finally:
            del held[:at]

    def _begin(self, held: bytearray) -> int:
        magic, version = _PREAMBLE.unpack_from(held)
        if magic != _MAGIC or version != self._version:
            raise OtherVersion(version if magic == _MAGIC else 0)
        self._begun = True
        return _PREAMBLE.size
