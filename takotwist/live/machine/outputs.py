"""What a frame machine asks of whoever drives it.  Rule: in the order of its list."""

from __future__ import annotations

import attrs

from takotwist.live.machine.frames import Frame, Trouble


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
