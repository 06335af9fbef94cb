"""What durable broadcasts need of a replay log: a port, and the values that cross it.

The server puts its own log behind it, with the group commit and the attach of
channels.  Rule: a key has one writer, so `seq` is counted by who appends and is
stored with the message; ids are the log's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred

from takotwist.core.channel import Lifecycle
from takotwist.errors import DefinitionError, Refusal
from takotwist.live.broadcast.bus import Publication
from takotwist.live.errors import UsageError


@attrs.frozen(kw_only=True)
class Replay:
    """How much of a durable broadcast is kept; left out is what the server keeps of channels.

    :param window: how far back a member may begin: seconds, or a `timedelta`.
    :param max_messages: most messages kept of the key.
    :param max_bytes: most bytes kept of the key.
    :raises UsageError: names what cannot be.
    """

    window: float | timedelta | None = None
    max_messages: int | None = None
    max_bytes: int | None = None

    def __attrs_post_init__(self) -> None:
        self.over(Lifecycle())

    def over(self, default: Lifecycle) -> Lifecycle:
        """The bounds for the log, with `default` where this says nothing."""
        said = {
            "replay_window_ms": None if self.window is None else self._milliseconds(),
            "replay_max_messages": self.max_messages,
            "replay_max_bytes": self.max_bytes,
        }
        given = {name: value for name, value in said.items() if value is not None}
        try:
            # Nothing is dropped for idleness: its count of publications would go with it.
            return attrs.evolve(default, inactivity_ttl_ms=0, **given)
        except DefinitionError as unusable:
            reason = unusable.reason.replace("replay_window_ms", "window, in milliseconds,")
            raise UsageError(f"replay: {reason.removeprefix('replay_')}") from None

    def _milliseconds(self) -> int:
        window = self.window
        seconds = window.total_seconds() if isinstance(window, timedelta) else window
        if (
            isinstance(seconds, bool)
            or not isinstance(seconds, int | float)
            or not math.isfinite(seconds)
        ):
            raise UsageError(f"replay: window must be seconds or a timedelta, not {window!r}")
        return round(seconds * 1000)


@attrs.frozen(slots=True)
class Record:
    """A publication on its way into the log.

    :ivar data: JSON text, or raw bytes where `binary`.
    :ivar values: its marks, as JSON text.
    """

    seq: int
    epoch: int
    data: bytes
    binary: bool
    values: bytes = b""


class Following(Protocol):
    """A member's place in the log."""

    def start(self) -> None:
        """Begin.  Nothing is called before."""

    def pause(self) -> None:
        """Give no more for now."""

    def resume(self) -> None:
        """Go on, from the log where it must be."""

    def leave(self) -> None:
        """Give nothing more.  Harmless when repeated."""


#: Called before the first publication with the cursor at which it begins, and whether
#: that is another than was asked for, which was too old.
Begun = Callable[[int, bool], None]


class KeepsPublications(Protocol):
    """A replay log, as durable broadcasts see it."""

    @property
    def head(self) -> int:
        """The newest id of all; 0 where the log cannot be used."""

    @property
    def max_message_bytes(self) -> int:
        """Of one publication."""

    def append(
        self, key: str, replay: Replay, records: Sequence[Record]
    ) -> Deferred[Sequence[int]]:
        """Store `records` in one transaction, and give them to whoever follows the key.

        :return: their ids, after the commit.  Fails with a `Refusal`; then nothing was stored.
        """

    def newest(self, key: str) -> Deferred[tuple[int, int] | None]:
        """Epoch and seq of the newest publication that is kept.  Fails with a `Refusal`."""

    def follow(
        self,
        key: str,
        replay: Replay,
        cursor: int | None,
        reset: bool,
        begun: Begun,
        take: Callable[[Sequence[Publication]], None],
        ended: Callable[[Refusal], None],
    ) -> Following:
        """Give every publication after `cursor`, once, in order; then the new ones.

        Where the log cannot be read now, it is tried again.

        :param cursor: `None` is now.
        :param reset: begin now where it is too old.
        :param take: gets them, each with its cursor, never before `begun`.
        :param ended: called where it cannot begin or go on; none of the three is called
            after `leave`.
        """
