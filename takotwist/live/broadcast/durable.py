"""Durable broadcast: publications that are stored before they are delivered.

publish on a durable key -> number -> append to the log -> deliver -> receipt.
Publications of a key that come while one is being stored form the next append (group
commit), so a number is given out only when everything before it is stored.  Rules:
`seq` has no gap; where an append failed, the count is read from the log again.  A key
has one writer, so `seq` is counted by who appends and is stored with the message; ids
are the log's.

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
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger

from takotwist.core.channel import Lifecycle
from takotwist.core.log import GroupCommit
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


class LogSubscription(Protocol):
    """A member's subscription to a key of the log."""

    def start(self) -> None:
        """Begin.  Nothing is called before."""

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
    ) -> LogSubscription:
        """Give every publication after `cursor`, once, in order; then the new ones.

        Where the log cannot be read now, it is tried again.

        :param cursor: `None` is now.
        :param reset: begin now where it is too old.
        :param take: gets them, each with its cursor, never before `begun`.
        :param ended: called where it cannot begin or go on; none of the three is called
            after `leave`.
        """


#: Most publications of one key that wait for the one being stored, and most bytes.
MAX_WAITING = 10_000
MAX_WAITING_BYTES = 16 * 2**20


@attrs.frozen(slots=True, eq=False)
class _Offer:
    said: Encoded
    binary: bool
    outcome: Outcome[Info]

    @property
    def size(self) -> int:
        return len(self.said.data) + len(self.said.values)


@attrs.define(slots=True, eq=False)
class _Key:
    """One durable key.

    :ivar count: epoch and seq of the last publication; `None` while it is not known.
    """

    replay: Replay
    count: tuple[int, int] | None = None
    group: GroupCommit[_Offer] = attrs.field(
        factory=lambda: GroupCommit[_Offer](
            max_waiting=MAX_WAITING, max_waiting_bytes=MAX_WAITING_BYTES
        )
    )


@attrs.define(slots=True, eq=False)
class Durable:
    """The durable keys of this process, and their writer.

    :ivar log: where their publications are kept.
    :ivar bus: tells those who subscribe without a cursor.
    """

    log: PublicationLog
    bus: Bus
    _keys: OrderedDict[str, _Key] = attrs.field(factory=OrderedDict, init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    def declare(self, key: str, replay: Replay) -> None:
        """Make a key durable, with the retention of `replay`."""
        one = self._keys.get(key)
        if one is None:
            one = self._keys[key] = _Key(replay)
        one.replay = replay
        self._keys.move_to_end(key)
        if len(self._keys) > MAX_IDLE_KEYS:
            self._forget_idle()

    def __contains__(self, key: str) -> bool:
        """Tell whether a key is known to be durable."""
        return key in self._keys

    def publish(self, key: str, said: Encoded, binary: bool, outcome: Outcome[Info]) -> None:
        """Store a publication on a declared key and give it to every subscriber.

        :param outcome: is there after the commit; fails with the `Refusal` of the log.
        """
        one = self._keys[key]
        try:
            offer = _Offer(said, binary, outcome)
            if offer.size > self.log.max_message_bytes:
                raise MessageTooLarge
            one.group.offer(offer)
        except Refusal as refusal:
            outcome.fail(refusal)
            return
        self._go_on(key, one)

    def _go_on(self, key: str, one: _Key) -> None:
        batch = one.group.take()
        if batch:
            ensureDeferred(self._store(key, one, batch)).addErrback(
                lambda failure: self._log.failure("delivering a broadcast failed", failure)
            )

    async def _store(self, key: str, one: _Key, batch: list[_Offer]) -> None:
        try:
            if one.count is None:
                one.count = await self.log.newest(key) or (self.bus.new_epoch(), 0)
            epoch, seq = one.count
            records = [
                Record(number, epoch, offer.said.data, offer.binary, offer.said.values)
                for number, offer in enumerate(batch, seq + 1)
            ]
            ids = await self.log.append(key, one.replay, records)
            one.count = (epoch, seq + len(batch))
            self.bus.published += len(batch)
        except Exception as error:
            one.count = None
            self._failed(batch, error)
        else:
            infos = [
                Info(record.seq, cursor // 1000, epoch, cursor)
                for record, cursor in zip(records, ids, strict=True)
            ]
            for info, record in zip(infos, records, strict=True):
                self.bus.deliver(key, Publication(info, record.data, record.binary, record.values))
            for info, offer in zip(infos, batch, strict=True):
                offer.outcome.resolve(info)
        finally:
            one.group.finished()
            self._go_on(key, one)

    def _failed(self, batch: list[_Offer], error: Exception) -> None:
        if not isinstance(error, Refusal):
            self._log.failure("storing a broadcast failed")
            error = InternalError()
        for offer in batch:
            offer.outcome.fail(error)

    def _forget_idle(self) -> None:
        for key, one in self._keys.items():
            if one.group.idle:
                del self._keys[key]
                return
