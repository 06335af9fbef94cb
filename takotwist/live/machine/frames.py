"""Values of the machine: frames, outputs and limits (protocol, live objects, section 5).

Rules: `data` is bytes everywhere in here, JSON text or raw: encoded once, where the
message is made, and decoded once, where it is listened to.  Outputs are carried out in
the order of the machine's list.  A length of time is seconds, a size is bytes.
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

#: Frames that count as messages, against credit and in the send queue.
MESSAGES = frozenset({"send", "publish", "published"})

#: Frames without a sequence number, which may be repeated and may be lost.
UNSEQUENCED = frozenset({"credit", "end", "ended"})

#: Memory of a kept frame beside its data, in bytes: the frame, its place in a queue, and the
#: outcome that its sender may await.  Measured on CPython 3.11: 250 to 370.
OVERHEAD = 400


@attrs.frozen(slots=True)
class Trouble:
    """An error as on the wire: why something ended or failed.

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
    """Acknowledgement and credit: what one side has, and what the other may send (section 6).

    :ivar seq: the last sequence number taken.
    :ivar bytes: how many the other may have sent in the object's whole life.
    :ivar messages: likewise.
    """

    seq: int
    bytes: int
    messages: int


@attrs.frozen(slots=True)
class Info:
    """The place of a publication among those of its key.

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
        """Bytes that it counts for against credit."""
        return len(self.data) + len(self.values)

    @property
    def weight(self) -> int:
        """Bytes that it counts for in a queue."""
        return OVERHEAD + self.size


# outputs


@attrs.frozen(slots=True)
class Transmit:
    """Put the frame on the wire."""

    frame: Frame


@attrs.frozen(slots=True)
class Deliver:
    """A message, or a change of a subscription, has come: `consumed` or `answer` follows."""

    frame: Frame


@attrs.frozen(slots=True)
class Sent:
    """A message is on its way."""

    handle: object


@attrs.frozen(slots=True)
class Answered:
    """The answer to a request has come; `data` is JSON text, `values` its marks."""

    handle: object
    data: bytes
    values: bytes = b""


@attrs.frozen(slots=True)
class Failed:
    """A send, or a request, will not be delivered or answered."""

    handle: object
    trouble: Trouble


@attrs.frozen(slots=True)
class Opened:
    """The other side is there for the first time."""


@attrs.frozen(slots=True)
class Ended:
    """It is over; `None` is a graceful end."""

    trouble: Trouble | None


@attrs.frozen(slots=True)
class Forgotten:
    """Nothing is left to do for this object."""


@attrs.frozen(slots=True)
class Broken:
    """The other side broke the protocol: the wire is to end, and the session with it."""

    reason: str


Output = Transmit | Deliver | Sent | Answered | Failed | Opened | Ended | Forgotten | Broken


# limits


@attrs.frozen(kw_only=True)
class Bounds:
    """Limits of one end of a live object: buffers, windows and timeouts.

    :ivar connect_ttl: until the first attach; `None` waits for ever.
    :ivar reconnect_timeout: until the next attach after a cut.
    :ivar replay: bytes that are sent and not acknowledged, text.
    :ivar replay_binary: the same, binary.
    :ivar buffer: bytes that wait to be sent, text.
    :ivar buffer_binary: the same, binary.
    :ivar drop_oldest: whether the oldest that wait make room for the newest; else the object
        ends where more would wait.
    :ivar window_bytes: what the other side may send ahead of what is consumed.
    :ivar window_messages: likewise.
    """

    connect_ttl: float | None = 5.0
    reconnect_timeout: float = 60.0
    replay: int = 1024 * 1024
    replay_binary: int = 2 * 1024 * 1024
    buffer: int = 16 * 1024 * 1024
    buffer_binary: int = 16 * 1024 * 1024
    drop_oldest: bool = False
    window_bytes: int = 1024 * 1024
    window_messages: int = 1024

    def with_buffer(self, limit: int) -> Bounds:
        """A copy with another `buffer`, of text and of binary data."""
        return attrs.evolve(self, buffer=limit, buffer_binary=limit)
