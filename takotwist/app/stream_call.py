"""Calls of a streamed message's writer to a server, wherever that is.

Rule: a call is sent as often as it takes, and counts once: an opening by its key, an append by
its number.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs


@attrs.frozen(slots=True)
class OpenCall:
    """Open a message, or take it over.

    :ivar text: it is written in strings, which are one text.
    :ivar meta: JSON.
    """

    id: str
    type: str
    key: str
    text: bool = True
    meta: bytes = b"null"
    resume: bool = False


@attrs.frozen(slots=True)
class AppendCall:
    """Append values, end it, or both.

    :ivar values: a JSON array, or nothing.
    :ivar end: ``ended`` or ``failed``; empty where it goes on.
    :ivar error: a sentence for people, of what failed.
    """

    id: str
    epoch: int
    seq: int
    values: bytes
    end: str = ""
    error: str = ""

    @property
    def reason(self) -> str:
        """A word, of what failed."""
        return "failed" if self.end == "failed" else ""


@attrs.frozen(slots=True)
class RenewCall:
    """The writer is there."""

    id: str
    epoch: int


StreamCall = OpenCall | AppendCall | RenewCall


@attrs.frozen(slots=True)
class StreamReply:
    """Reply of the server; for all calls but an opening it has no content.

    :ivar opened: id of the opening message.
    :ivar size: bytes of JSON that are there already, and `offset` behind them.
    :ivar lease: seconds without a word, after which the writer counts as gone.
    """

    opened: str = ""
    epoch: int = 0
    size: int = 0
    offset: str = ""
    lease: float = 15.0


class StreamLine(Protocol):
    """A writer's way to the server, and its time, on the loop that it runs on."""

    def now(self) -> float:
        """Seconds."""

    def ask(self, call: StreamCall, told: Callable[[StreamReply | BaseException], None]) -> None:
        """Send a call until it is answered; `told` is called once, later."""

    def call_later(self, seconds: float, action: Callable[[], None]) -> Callable[[], object]:
        """Call `action` once; the result cancels it, and is harmless afterwards."""

    def waiting(self) -> tuple[Awaitable[None], Callable[[], None]]:
        """Something to wait for, and what ends the waiting; that is harmless when repeated."""

    def watch(self, id: str, ended: Callable[[str, str], object]) -> Callable[[], None]:
        """Have `ended` called with how and why a message has ended, where that can be known
        sooner than by a call; the result ends that."""
