"""Broadcasts on the replay log: publications that are stored before they are delivered.

publish -> append to the log, which numbers it -> receipt; and the log -> follow -> deliver,
on this node as on all (`live/broadcast/feed.py`).  Durable keys are published by the log; where
several processes share it, the others are as well, and kept for seconds; in a
process that has its log alone the bus counts them, and nothing stores them.

`PublicationLog` is the port of the replay log; the server puts its own log behind it,
with the group commit and the attach of channels.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.core.channel import Lifecycle
from takotwist.errors import DefinitionError, InternalError, MessageTooLarge, Refusal
from takotwist.live.broadcast.bus import MAX_IDLE_KEYS, Bus, Publication
from takotwist.live.errors import UsageError
from takotwist.live.machine.frames import Info
from takotwist.live.objects.outcome import Outcome
from takotwist.live.values import Encoded


@attrs.frozen(kw_only=True)
class Replay:
    """Retention of a durable broadcast; left out is what the server keeps of channels.

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


class LogSubscription(Protocol):
    """A member's subscription to a key of the log."""

    def start(self, *, at_once: bool = False) -> None:
        """Begin.  Nothing is called before.

        :param at_once: and not after this turn, when who else begins in it has come too.
        """

    def pause(self) -> None:
        """Pause, for back-pressure."""

    def resume(self) -> None:
        """Go on, from the log where it must be."""

    def leave(self) -> None:
        """Stop for good.  Harmless when repeated."""


#: Called before the first publication with the cursor at which it begins, and whether
#: that is another than was asked for, which was too old.
Begun = Callable[[int, bool], None]


class PublicationLog(Protocol):
    """A replay log, as durable broadcasts see it."""

    @property
    def head(self) -> int:
        """The newest id of all; 0 where the log cannot be used."""

    @property
    def max_message_bytes(self) -> int:
        """Most bytes of one publication."""

    @property
    def shared(self) -> bool:
        """Other processes append to it too, so what all are to hear goes by it."""

    def append(
        self, key: str, replay: Replay | None, said: Encoded, binary: bool
    ) -> Deferred[Info]:
        """Store a publication, and give it to whoever follows the key, on all nodes.

        :param replay: `None`: it is not kept, but for as long as it takes to reach all.
        :return: its place, after the commit.  Fails with a `Refusal`; then nobody gets it.
        """

    def follow(
        self,
        key: str,
        replay: Replay | None,
        cursor: int | None,
        reset: bool,
        begun: Begun,
        take: Callable[[Sequence[Publication]], None],
        ended: Callable[[Refusal], None],
    ) -> LogSubscription:
        """Give every publication after `cursor`, once, in order; then the new ones.

        Where the log cannot be read now, it is tried again.

        :param replay: `None` for what is not kept.
        :param cursor: `None` is now.
        :param reset: begin now where it is too old.
        :param take: gets them, each with its cursor, never before `begun`.
        :param ended: called where it cannot begin or go on; none of the three is called
            after `leave`.
        """


@attrs.define(slots=True, eq=False)
class Durable:
    """The durable keys of this process, and the way of publications into the log.

    :ivar log: where they go.
    :ivar bus: counts them, and is told of each key that is durable from now on.
    """

    log: PublicationLog
    bus: Bus
    _replays: OrderedDict[str, Replay] = attrs.field(factory=OrderedDict, init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    def declare(self, key: str, replay: Replay) -> None:
        """Make a key durable, with the retention of `replay`."""
        known = key in self._replays
        self._replays[key] = replay
        self._replays.move_to_end(key)
        if not known:
            if len(self._replays) > MAX_IDLE_KEYS:
                self._replays.popitem(last=False)
            self.bus.declared(key)

    def replay_of(self, key: str) -> Replay | None:
        """The retention of a durable key; `None` where it is not known to be one."""
        return self._replays.get(key)

    def takes(self, key: str) -> bool:
        """Tell whether publications of a key go into the log."""
        return key in self._replays or self.log.shared

    def publish(self, key: str, said: Encoded, binary: bool, outcome: Outcome[Info]) -> None:
        """Store a publication and give it to every subscriber.

        :param outcome: is there after the commit; fails with the `Refusal` of the log.
        """
        if len(said.data) + len(said.values) > self.log.max_message_bytes:
            outcome.fail(MessageTooLarge())
            return
        storing = self.log.append(key, self._replays.get(key), said, binary)
        storing.addCallbacks(self._stored, self._failed, (outcome,), errbackArgs=(outcome,))
        storing.addErrback(
            lambda failure: self._log.failure("telling of a broadcast failed", failure)
        )

    def _stored(self, info: Info, outcome: Outcome[Info]) -> None:
        self.bus.published += 1
        outcome.resolve(info)

    def _failed(self, failure: Failure, outcome: Outcome[Info]) -> None:
        error = failure.value
        if not isinstance(error, Refusal):
            self._log.failure("storing a broadcast failed", failure)
            error = InternalError()
        outcome.fail(error)
