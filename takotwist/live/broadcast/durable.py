"""publish on a durable key -> number -> append to the log -> deliver -> receipt

Publications of a key that come while one is being stored form the next append,
so a number is given out only when everything before it is stored.  Rule: `seq`
has no gap; where an append failed, the count is read from the log again.
"""

from __future__ import annotations

from collections import OrderedDict

import attrs
from twisted.internet.defer import ensureDeferred
from twisted.logger import Logger

from takotwist.core.log import GroupCommit
from takotwist.errors import InternalError, MessageTooLarge, Refusal
from takotwist.live.broadcast.bus import MAX_IDLE_KEYS, Bus, Publication
from takotwist.live.broadcast.stored import KeepsPublications, Record, Replay
from takotwist.live.machine.frames import Info
from takotwist.live.objects.outcome import Outcome
from takotwist.live.values import Encoded

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
    """The durable keys of this process.

    :ivar log: where their publications are kept.
    :ivar bus: tells those who subscribe without a cursor.
    """

    log: KeepsPublications
    bus: Bus
    _keys: OrderedDict[str, _Key] = attrs.field(factory=OrderedDict, init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    def declare(self, key: str, replay: Replay) -> None:
        """From now on whatever is published on `key` is kept, as `replay` says."""
        one = self._keys.get(key)
        if one is None:
            one = self._keys[key] = _Key(replay)
        one.replay = replay
        self._keys.move_to_end(key)
        if len(self._keys) > MAX_IDLE_KEYS:
            self._forget_idle()

    def __contains__(self, key: str) -> bool:
        """Whether a key is known to be durable."""
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
