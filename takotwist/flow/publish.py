"""publish -> validate -> append to the log (group commit)

A publish is acknowledged, and delivered to anybody, only after its transaction has
committed.  Delivery is not its business: `flow.follow` fans out what the log reports.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.core.channel import MINUTE_MS, ChannelDefinition, Lifecycle, NewestRules
from takotwist.core.log import Append, Appended, GroupCommit
from takotwist.core.metrics import Metrics
from takotwist.core.newest import keys_of
from takotwist.core.send_queue import FlushBatch
from takotwist.core.topic import Draft, Topic
from takotwist.errors import BodyInvalid, Refusal, ShuttingDown, StoreUnavailable, TooManyKeys
from takotwist.ports import ILogFollower, IReplayLog

#: Seconds after which a store that refused a transaction is tried again, where nobody publishes.
LOOK_SECONDS = 5.0

#: What is stored then.  Not a channel's name.  As large as a message with something in it, so that
#: a disk with room for a few bytes does not pass for one that has room again.
_LOOK = Topic.of("~store-look", {})
_LOOK_DRAFT = Draft("look", b'"%b"' % (b" " * 16_384))
_LOOK_LIFECYCLE = Lifecycle(replay_window_ms=MINUTE_MS, replay_max_messages=1)


def validate(definition: ChannelDefinition, drafts: Sequence[Draft]) -> None:
    """Refuse what the channel's messages do not allow.

    :raises BodyInvalid: an undeclared type, a payload that does not fit, or a key that cannot
        be; names the path.
    """
    if definition.newest is not None:
        keys_of(definition.newest, drafts)
    else:
        for draft in drafts:
            if draft.key is not None or draft.delete:
                raise BodyInvalid(f"key: the messages of channel {definition.name!r} have none.")
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


def append_newest(
    topic: Topic, drafts: Sequence[Draft], lifecycle: Lifecycle, rules: NewestRules
) -> Append:
    """An append of validated drafts to a topic that keeps the newest of each key.

    There is no idempotency key: a message that was replaced meanwhile leaves nothing by which
    its repetition could be known.
    """
    return Append(
        topic,
        tuple(drafts),
        lifecycle,
        keys=keys_of(rules, drafts),
        kept=True,
        max_kept=rules.max_keys,
    )


class _Publish:
    """A publish that waits for its transaction, or is in it."""

    __slots__ = ("answer", "append", "size")

    def __init__(self, append: Append) -> None:
        self.append = append
        self.answer: Deferred[Appended] = Deferred()
        self.size = append.size


def at_once(call: Callable[[], object]) -> object:
    return call()


def never(seconds: float, call: Callable[[], None]) -> object:
    return None


@attrs.define(slots=True)
class PublisherService:
    """The publisher service: takes publishes and commits them in groups.

    :ivar follower: whose turn ends when the answers of a transaction were given.
    :ivar flush_batch: of that turn; answers may join it.
    :ivar wall: unix time in seconds.
    :ivar seconds: a clock for durations.
    :ivar soon: has something done when the reactor has read what there is to read now,
        so that what comes together is stored together.  At once where it is not given.
    :ivar later: has something done after so many seconds.
    """

    log: IReplayLog
    follower: ILogFollower
    flush_batch: FlushBatch
    metrics: Metrics
    wall: Callable[[], float]
    seconds: Callable[[], float]
    group: GroupCommit[_Publish] = attrs.field(factory=lambda: GroupCommit[_Publish]())
    soon: Callable[[Callable[[], object]], object] = at_once
    later: Callable[[float, Callable[[], None]], object] = never
    #: The last transaction failed, though the store was there.
    _failing: bool = attrs.field(default=False, init=False)
    _looking: bool = attrs.field(default=False, init=False)
    _stopping: Deferred[None] | None = attrs.field(default=None, init=False)
    _gathering: bool = attrs.field(default=False, init=False)
    _logger: Logger = attrs.field(factory=Logger, init=False)

    @property
    def storing(self) -> bool:
        """`True` while messages can be stored, as far as is known: the store is there, and the last
        transaction went well, or failed because the store was away.  It is found out also where
        nobody publishes: here, since another process of the store may be the one that does."""
        return self.log.available and not self._failing

    def publish(
        self,
        topic: Topic,
        drafts: Sequence[Draft],
        lifecycle: Lifecycle,
        idempotency_key: str | None = None,
        numbered: bool = False,
        keys: tuple[str, ...] = (),
        kept: bool = False,
        after: int | None = None,
        newest: NewestRules | None = None,
    ) -> Deferred[Appended]:
        """Store validated `drafts` on `topic`, all or none, and deliver them.

        :param numbered: and the others: see `Append`.
        :param newest: of the topic's channel.
        :return: fires after the commit.
        :raises StoreUnavailable: nothing was stored. :raises Overloaded: nothing
            was stored, too much waits. :raises ShuttingDown: we are stopping.
        :raises TooManyKeys: nothing was stored, the topic keeps as much as it may.
        """
        one = _Publish(
            Append(topic, tuple(drafts), lifecycle, idempotency_key, numbered, keys, kept, after)
            if newest is None
            else append_newest(topic, drafts, lifecycle, newest)
        )
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
        self._failing = False
        self.metrics.commit_seconds.observe(self.seconds() - began)
        self.metrics.commit_messages.observe(sum([len(one.messages) for one in stored]))
        self.metrics.publishes += sum([len(one.messages) for one in stored if not one.repeated])
        # Before the turn ends, so that answers of one connection leave joined too.
        for one, appended in zip(batch, stored, strict=True):
            if appended.full:
                one.answer.errback(Failure(TooManyKeys()))
            else:
                one.answer.callback(appended)
        self.follower.settled()

    def _failed(self, failure: Failure, batch: list[_Publish]) -> None:
        self.metrics.store_failures += 1
        self._failing = self.log.available
        if not failure.check(Refusal):
            self._logger.failure("appending to the replay log failed", failure)
            failure = Failure(StoreUnavailable())
        for one in batch:
            if not one.answer.called:
                one.answer.errback(failure)
        if self._failing and not self._looking:
            self._looking = True
            self.later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        """Find out whether the store can be written again."""
        self._looking = False
        if self._failing:
            # Whatever comes of it is told by `_committed` or `_failed`.
            self.publish(_LOOK, [_LOOK_DRAFT], _LOOK_LIFECYCLE).addErrback(
                lambda failure: failure.trap(Refusal) and None
            )

    def _next(self) -> None:
        self.group.finished()
        if self.group.waiting and not self._gathering:
            # Whoever was answered just now may publish again at once: a round of reading
            # before the next transaction nearly doubles what it stores.
            self._gathering = True
            self.soon(lambda: self.soon(self._commit))
        if self._stopping is not None and self.group.idle and not self._stopping.called:
            self._stopping.callback(None)
