"""publish -> validate -> append to the log (group commit) -> fan out

A publish is acknowledged, and delivered to anybody, only after its transaction
has committed.  Rule: what one commit stored is fanned out in the turn in which
the commit is reported, in the order of ids, and every connection is written
to once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.codecs.wire_forms import Encoded
from takotwist.core.channel import ChannelDefinition, Lifecycle
from takotwist.core.fanout import FanOut, Subscription
from takotwist.core.log import Append, Appended, GroupCommit
from takotwist.core.metrics import Metrics
from takotwist.core.send_queue import FlushBatch
from takotwist.core.tail import Tails
from takotwist.core.topic import Draft, Topic
from takotwist.errors import BodyInvalid, Refusal, ShuttingDown, StoreUnavailable
from takotwist.flow.attach import Attacher
from takotwist.ports import IReplayLog


def validate(definition: ChannelDefinition, drafts: Sequence[Draft]) -> None:
    """Refuse what the channel's messages do not allow.

    :raises BodyInvalid: an undeclared type, or a payload that does not fit; names the path.
    """
    if not definition.messages:
        return
    for draft in drafts:
        schema = definition.messages.get(draft.type)
        if schema is None:
            declared = ", ".join(sorted(definition.messages))
            raise BodyInvalid(
                f"type: channel {definition.name!r} has no message {draft.type!r}"
                f" (it has: {declared})."
            )
        schema.check(draft.data)


class _Publish:
    """A publish that waits for its transaction, or is in it."""

    __slots__ = ("answer", "append", "size")

    def __init__(self, append: Append) -> None:
        self.append = append
        self.answer: Deferred[Appended] = Deferred()
        self.size = append.size


def at_once(call: Callable[[], object]) -> object:
    return call()


@attrs.define(slots=True)
class PublisherService:
    """The publisher service: takes publishes, commits them in groups, fans them out.

    :ivar wall: unix time in seconds.
    :ivar seconds: a clock for durations.
    :ivar soon: has something done when the reactor has read what there is to read now,
        so that what comes together is stored together.  At once where it is not given.
    """

    log: IReplayLog
    fanout: FanOut
    tails: Tails
    attacher: Attacher
    flush_batch: FlushBatch
    metrics: Metrics
    wall: Callable[[], float]
    seconds: Callable[[], float]
    group: GroupCommit[_Publish] = attrs.field(factory=lambda: GroupCommit[_Publish]())
    soon: Callable[[Callable[[], object]], object] = at_once
    #: Whether the last transaction went well.
    storing: bool = attrs.field(default=True, init=False)
    _stopping: Deferred[None] | None = attrs.field(default=None, init=False)
    _gathering: bool = attrs.field(default=False, init=False)
    _logger: Logger = attrs.field(factory=Logger, init=False)

    def publish(
        self,
        topic: Topic,
        drafts: Sequence[Draft],
        lifecycle: Lifecycle,
        idempotency_key: str | None = None,
    ) -> Deferred[Appended]:
        """Store validated `drafts` on `topic`, all or none, and deliver them.

        :return: fires after the commit.
        :raises StoreUnavailable: nothing was stored. :raises Overloaded: nothing
            was stored, too much waits. :raises ShuttingDown: we are stopping.
        """
        one = _Publish(Append(topic, tuple(drafts), lifecycle, idempotency_key))
        try:
            if self._stopping is not None:
                raise ShuttingDown
            self.group.offer(one)
        except Refusal as refusal:
            one.answer.errback(Failure(refusal))
            return one.answer
        if not self._gathering:
            self._gathering = True
            self.soon(self._commit)
        return one.answer

    def stop(self) -> Deferred[None]:
        """Take no more, and finish what was taken."""
        if self._stopping is None:
            self._stopping = Deferred()
            if self.group.idle:
                self._stopping.callback(None)
        return self._stopping

    def _commit(self) -> None:
        self._gathering = False
        batch = self.group.take()
        if not batch:
            return
        began = self.seconds()
        storing = self.log.append([one.append for one in batch], int(self.wall() * 1_000_000))
        storing.addCallback(self._committed, batch, began)
        storing.addErrback(self._failed, batch)
        storing.addBoth(lambda _: self._next())

    def _committed(self, stored: list[Appended], batch: list[_Publish], began: float) -> None:
        self.storing = True
        self.flush_batch.now = self.seconds()
        self.flush_batch.delivering = True
        self.metrics.commit_seconds.observe(self.flush_batch.now - began)
        self.metrics.commit_messages.observe(sum(len(one.messages) for one in stored))
        lagging = self._fan_out(stored, batch)
        # Before the turn ends, so that answers of one connection leave joined too.
        for one, appended in zip(batch, stored, strict=True):
            one.answer.callback(appended)
        self._end_turn()
        self.attacher.lagging(lagging)

    def _end_turn(self) -> None:
        while True:
            try:
                self.flush_batch.end()
                return
            except Exception:
                self._logger.failure("writing to a connection failed")

    def _fan_out(self, stored: list[Appended], batch: list[_Publish]) -> list[Subscription]:
        by_topic: dict[str, tuple[Append, list[Encoded]]] = {}
        for one, appended in zip(batch, stored, strict=True):
            if not appended.repeated:
                _, items = by_topic.setdefault(one.append.topic.key, (one.append, []))
                items += map(Encoded, appended.messages)
        lagging: list[Subscription] = []
        now_us = int(self.wall() * 1_000_000)
        for key, (append, items) in by_topic.items():
            self.metrics.publishes += len(items)
            try:
                self._keep(key, items, append.lifecycle, now_us)
                delivered, behind = self.fanout.publish(key, items)
            except Exception:
                # It is stored: its publisher must not be told that it failed, and its
                # readers have it from the log.  The other topics go on.
                self._logger.failure("fanning out failed")
                behind = self.attacher.interrupted(key, items[-1].id)
            else:
                self.metrics.deliveries += delivered
            lagging += behind
        return lagging

    def _keep(self, key: str, items: Sequence[Encoded], lifecycle: Lifecycle, now_us: int) -> None:
        if lifecycle.inactivity_ttl_ms and key not in self.fanout:
            # The log may drop this topic at any moment from its ttl on.
            self.tails.forget(key)
            return
        self.tails.append(
            key,
            items,
            keep_messages=lifecycle.replay_max_messages,
            keep_bytes=lifecycle.replay_max_bytes,
            window_us=lifecycle.replay_window_ms * 1000,
            now_us=now_us,
        )

    def _failed(self, failure: Failure, batch: list[_Publish]) -> None:
        self.metrics.store_failures += 1
        self.storing = False
        if not failure.check(Refusal):
            self._logger.failure("appending to the replay log failed", failure)
            failure = Failure(StoreUnavailable())
        for one in batch:
            if not one.answer.called:
                one.answer.errback(failure)

    def _next(self) -> None:
        self.group.finished()
        if self.group.waiting and not self._gathering:
            # Whoever was answered just now may publish again at once: a round of reading
            # before the next transaction nearly doubles what it stores.
            self._gathering = True
            self.soon(lambda: self.soon(self._commit))
        if self._stopping is not None and self.group.idle and not self._stopping.called:
            self._stopping.callback(None)
