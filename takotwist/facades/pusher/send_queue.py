"""A send queue that leaves out what its own client has triggered.

A library names the connection that is not to be given an event (``socket_id``), and a client
does not get its own.  The event goes to all the others in one loop over their sockets; so this
one is taken out of that loop, and the frame out of what it is given.  (An envelope around each
message, with the sender in it, was the alternative: our own clients would read it too.)

Rule: what is left out is found by its bytes.  Of two equal events of one channel either may go:
nobody could tell which.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

import attrs

from takotwist.core.send_queue import SendQueue

#: Frames that may wait to be left out; the oldest is forgotten first, and then is given.
MOST = 64


@attrs.define(slots=True, eq=False)
class PusherSendQueue(SendQueue):
    """The send queue of one connection."""

    _left_out: list[bytes] = attrs.field(factory=list, init=False)

    def leave_out(self, frame: bytes) -> None:
        """Do not give the next frame that is equal to this one."""
        self._left_out.append(frame)
        del self._left_out[:-MOST]
        if self.group is not None:
            # It stays out of the loop: who has triggered once does so again.
            self.group.withdraw(self)

    def leave_in(self, frame: bytes) -> None:
        """It does not come after all.  Harmless where it has come."""
        if frame in self._left_out:
            self._left_out.remove(frame)

    def push(self, blob: bytes) -> bool:
        """See `SendQueue`."""
        return self._give(blob, SendQueue.push)

    def push_at_once(self, blob: bytes) -> bool:
        """See `SendQueue`."""
        return self._give(blob, SendQueue.push_at_once)

    def _give(self, blob: bytes, give: Callable[[SendQueue, bytes], bool]) -> bool:
        if not self._left_out:
            return give(self, blob)
        before = list(self._left_out)
        kept = []
        for frame in frames_of(blob):
            if frame in self._left_out:
                self._left_out.remove(frame)
            else:
                kept.append(frame)
        if not kept or give(self, b"".join(kept)):
            return True
        # Not taken, so it comes again.
        self._left_out = before
        return False


def frames_of(blob: bytes) -> Iterator[bytes]:
    """The frames of a server that were joined (RFC 6455, section 5.2)."""
    at = 0
    while at < len(blob):
        size, start = blob[at + 1], at + 2
        if size == 126:
            size, start = *struct.unpack_from("!H", blob, start), start + 2
        elif size == 127:
            size, start = *struct.unpack_from("!Q", blob, start), start + 8
        yield blob[at : start + size]
        at = start + size
