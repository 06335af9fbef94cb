"""One subscription as its driver sees it: where events wait, and whom to ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from takotwist.client.credentials import Credentials
from takotwist.client.errors import Gone
from takotwist.client.inbox import Inbox
from takotwist.client.machine.policy import OnGone

#: What a caller wants when continuity ends: a word, or a callable that gets the
#: `Gone` and gives the cursor to go on from, or `None` for live; it may be awaited.
GoneChoice = OnGone | Callable[[Gone], Any]


def mode_of(choice: GoneChoice) -> OnGone:
    """:raises ValueError: when it is none of the choices."""
    if callable(choice):
        return "ask"
    if choice not in ("reset", "raise"):
        raise ValueError("on_gone must be 'reset', 'raise' or a callable")
    return choice


@attrs.define(eq=False)
class Seat:
    """See the module.

    :ivar news: called when there is something to take.
    :ivar publishes: futures of the loop's own kind, by number.
    """

    inbox: Inbox
    credentials: Credentials = attrs.field(repr=False)
    on_gone: GoneChoice
    news: Callable[[], None]
    publishes: dict[int, Any] = attrs.field(factory=dict)
