"""What a machine wants done: its only way to the world.

Imperative, frozen, in order.  A skin carries them out and reports facts back.
Rule: an intent needs no decision of the skin; if it did, it belongs in the
machine, where the vectors reach it.
"""

from __future__ import annotations

from typing import Literal

import attrs

from takotwist.client.events import Event
from takotwist.errors import TakoError

Carrier = Literal["sse", "websocket", "mux"]


@attrs.frozen(slots=True)
class Connect:
    """Open a connection, with credentials asked for anew.

    :ivar cursor: goes into ``Last-Event-ID``, the query or the auth frame.
    :ivar stale_reset: whether to ask with ``stale=reset``.
    """

    carrier: Carrier
    cursor: str | None = None
    stale_reset: bool = False


@attrs.frozen(slots=True)
class Drop:
    """Cut the connection, or the attempt at one; report nothing more of it."""


@attrs.frozen(slots=True)
class Send:
    """Send one text frame."""

    text: str = attrs.field(repr=False)


@attrs.frozen(slots=True)
class Deliver:
    """Hand an event to the caller.

    :ivar cursor: the cursor of one who has seen it.
    :ivar topic: number of the topic, on a multiplexed connection.
    """

    event: Event
    cursor: str | None
    topic: int = 0


@attrs.frozen(slots=True)
class Move:
    """The cursor moved without a message."""

    cursor: str
    topic: int = 0


@attrs.frozen(slots=True)
class Settle:
    """A publish has its outcome.

    :ivar number: what the machine gave for it.
    :ivar id: the stored message's id; `None` where nobody said one.
    :ivar error: why it failed, or `None`.
    """

    number: int
    id: str | None = None
    error: TakoError | None = None


@attrs.frozen(slots=True)
class AskGone:
    """Ask the app where to go on, and answer with `gone_answered`."""

    error: TakoError
    topic: int = 0


@attrs.frozen(slots=True)
class AskCredentials:
    """Ask for a topic's credentials, and answer with `credentials_given`."""

    topic: int


@attrs.frozen(slots=True)
class Stop:
    """The subscription is over.

    :ivar error: `None` where the caller closed it.
    """

    error: TakoError | None
    topic: int = 0


Intent = Connect | Drop | Send | Deliver | Move | Settle | AskGone | AskCredentials | Stop
