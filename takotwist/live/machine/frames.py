"""The frames of a live object, as values (protocol, live objects, section 5).

Rule: `data` is bytes everywhere in here, JSON text or raw: encoded once, where
the message is made, and read once, where it is listened to.
"""

from __future__ import annotations

from typing import Literal

import attrs

Do = Literal[
    "send",
    "ack",
    "publish",
    "published",
    "subscribe",
    "unsubscribe",
    "close",
    "closed",
    "credit",
    "end",
    "ended",
]

#: Frames that count as messages, against credit and in the waiting lanes.
MESSAGES = frozenset({"send", "publish", "published"})

#: Frames without a sequence number, which may be repeated and may be lost.
UNSEQUENCED = frozenset({"credit", "end", "ended"})

#: What remembering a frame costs beside its data, in bytes: the frame, its place in a queue, and
#: the outcome that its sender may await.  Measured on CPython 3.11: 250 to 370.
OVERHEAD = 400


@attrs.frozen(slots=True)
class Trouble:
    """Why something ended or failed, as on the wire.

    :ivar value: of ``abort``, JSON text.
    :ivar values: its marks, as JSON text (`takotwist.live.values`).
    """

    code: str
    value: bytes | None = None
    message: str | None = None
    values: bytes = b""


NETWORK = Trouble("network")
LEFT = Trouble("left")
CLOSED = Trouble("closed")
TIMED_OUT = Trouble("closed", None, "close timed out")
OVERFLOW = Trouble("overflow")


@attrs.frozen(slots=True)
class Position:
    """What one side has received, and what the other may send (section 6).

    :ivar seq: the last sequence number taken.
    :ivar bytes: how many the other may have sent in the object's whole life.
    :ivar messages: likewise.
    """

    seq: int
    bytes: int
    messages: int


@attrs.frozen(slots=True)
class Info:
    """Where a publication stands among those of its key.

    :ivar seq: counts from 1.
    :ivar timestamp: milliseconds since the epoch.
    :ivar epoch: another one when the count began anew.
    :ivar cursor: of a durable key the id of the stored message.
    """

    seq: int
    timestamp: int
    epoch: int
    cursor: int | None = None

    @property
    def said(self) -> dict[str, int | str]:
        """As JSON carries it."""
        said: dict[str, int | str] = {
            "seq": self.seq,
            "timestamp": self.timestamp,
            "epoch": self.epoch,
        }
        if self.cursor is not None:
            said["cursor"] = str(self.cursor)
        return said


@attrs.frozen(slots=True)
class Frame:
    """One frame; fields that its `do` does not have keep their default.

    :ivar seq: 0 where it is not sequenced, or not yet.
    :ivar data: JSON text, or raw bytes where `binary`.
    :ivar values: marks of the dates and bytes in it, as JSON text (`takotwist.live.values`).
    :ivar ack: an answer is asked for.
    :ivar of: of an ``ack``: the sequence number that it answers.
    :ivar kind: of ``subscribe``: ``text`` or ``binary``.
    :ivar cursor: of ``subscribe``: where it begins; `None` is where the server says.
    :ivar reset: of ``subscribe``: begin now where the cursor is too old.
    :ivar timeout: of ``close``, seconds.
    """

    do: Do
    seq: int = 0
    data: bytes = b""
    binary: bool = False
    ack: bool = False
    of: int = 0
    error: Trouble | None = None
    info: Info | None = None
    kind: str = ""
    cursor: int | None = None
    reset: bool = False
    timeout: float = 0.0
    position: Position | None = None
    values: bytes = b""

    @property
    def size(self) -> int:
        """What it counts for against credit, in bytes."""
        return len(self.data) + len(self.values)

    @property
    def weight(self) -> int:
        """What it counts for in a lane, in bytes."""
        return OVERHEAD + self.size
