"""Webhooks: events are stored in an outbox, and delivered from there until they were taken.

The outbox of an endpoint is a topic of the log, so it is as durable as messages are, has their
bounds in age, number and bytes, and is one for all nodes; what was delivered is a message of a
second topic.  (A table of its own was the alternative: one more for each kind of store, and for
the processes that reach the store through another.)

Rules: an event is delivered at least once, and after a crash those of the last moment again,
with the same id; events of one topic in order; and by one node at a time, which holds the lease.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Protocol

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.codecs.webhook import Happening
from takotwist.core.channel import MINUTE_MS, Lifecycle
from takotwist.core.deadlines import Deadlines
from takotwist.core.lanes import LONGEST_PAUSE, Lanes, lane_of
from takotwist.core.topic import EVERYTHING, Draft, Topic
from takotwist.errors import Refusal, ReplayTooOld, Unreachable
from takotwist.flow.attach import RETRY_SECONDS
from takotwist.flow.lease import Lease
from takotwist.flow.passes import Passes
from takotwist.flow.publish import PublisherService

#: Topics of outboxes.  Not channels' names: those begin with a letter or a digit.
OUTBOX, DONE = "~webhooks", "~webhooks-done"

#: Of what was done the newest message counts.
DONE_LIFECYCLE = Lifecycle(replay_window_ms=366 * 24 * 60 * MINUTE_MS, replay_max_messages=1)

#: Events of one endpoint in memory at most; the others wait in the log.
HELD = 1_000

#: Events that wait to be stored while the log does not take them; the oldest is lost first.
UNSTORED = 1_000

#: Seconds between two looks at a log that others write to as well.
LOOK_SECONDS = 2.0

#: An endpoint that is no more (Standard Webhooks).
GONE = 410

_PAGE_MESSAGES, _PAGE_BYTES = 256, 256 * 1024


class _Stored(msgspec.Struct):
    lane: int
    data: msgspec.Raw


class _Done(msgspec.Struct):
    floor: int
    lanes: dict[str, int]


_STORED, _DONE = msgspec.json.Decoder(_Stored), msgspec.json.Decoder(_Done)


class Deliver(Protocol):
    """Tells somebody of an event."""

    def __call__(self, happening: Happening) -> Deferred[tuple[int, float]]:
        """:return: as `IWebhookSender.post` has it.

        :raises Unreachable: it is to be tried again.
        """
        ...


@attrs.frozen(slots=True, kw_only=True)
class Endpoint:
    """Endpoint that events are delivered to.

    :ivar name: as it is called in the configuration.
    :ivar events: types that it wants; empty: all.
    :ivar lifecycle: bounds of its outbox.
    :ivar longest_pause: seconds before an event is tried again, at most.
    """

    name: str
    deliver: Deliver = attrs.field(repr=False)
    events: frozenset[str] = frozenset()
    lifecycle: Lifecycle = attrs.field(factory=Lifecycle)
    longest_pause: float = LONGEST_PAUSE

    def wants(self, type: str) -> bool:
        """`True` where it is to be told of such events."""
        return not self.events or type in self.events


@attrs.define(slots=True, eq=False)
class Courier:
    """The outbox of one endpoint, and its delivery.

    :ivar random: a number from 0 to 1.
    :ivar counts: events by what became of them: ``stored``, ``delivered``, ``failed`` (an attempt),
        ``dropped``.
    """

    endpoint: Endpoint
    publishing: PublisherService
    deadlines: Deadlines
    random: Callable[[], float]
    lease: Lease
    counts: Counter[str] = attrs.field(factory=Counter, init=False)
    _lanes: Lanes[Happening] = attrs.field(factory=lambda: Lanes[Happening](), init=False)
    _outbox: Topic = attrs.field(init=False)
    _done: Topic = attrs.field(init=False)
    _unstored: deque[Draft] = attrs.field(factory=deque, init=False)
    _resumed: bool = attrs.field(default=False, init=False)
    _saving: bool = attrs.field(default=False, init=False)
    _unsaved: bool = attrs.field(default=False, init=False)
    _more: bool = attrs.field(default=True, init=False)
    #: The last read has not come to the end of the outbox.
    _behind: bool = attrs.field(default=True, init=False)
    _passes: Passes = attrs.field(init=False)
    _complained: float = attrs.field(default=-1e9, init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    def __attrs_post_init__(self) -> None:
        name = {"endpoint": self.endpoint.name}
        self._outbox, self._done = Topic.of(OUTBOX, name), Topic.of(DONE, name)
        self._passes = Passes(
            self._work, self.deadlines, self.publishing.seconds, self._not_worked, stopped=True
        )

    @property
    def name(self) -> str:
        """Of the endpoint."""
        return self.endpoint.name

    @property
    def waiting(self) -> int:
        """Events in memory that were not taken yet."""
        return self._lanes.count + len(self._unstored)

    def start(self) -> None:
        """Begin to deliver."""
        self._passes.start()

    def stop(self) -> None:
        """Begin nothing more; what waits is in the log."""
        self._passes.stop()

    def put(self, type: str, data: bytes, topic: str, *, again: bool = True) -> None:
        """Store an event, to be delivered.

        :param data: one JSON value.
        :param topic: whose events stay in order.
        :param again: where it cannot be stored now, store it later.
        """
        if self.endpoint.wants(type):
            self._store(self._draft(type, data, topic), again)

    async def put_once(self, type: str, data: bytes, topic: str, key: str) -> None:
        """The same, however often it is repeated; returns when it is stored.

        :param key: is of this event alone.
        :raises Refusal: it may not be: repeat it.
        """
        if self.endpoint.wants(type):
            draft = self._draft(type, data, topic)
            lifecycle = self.endpoint.lifecycle
            answer = await self.publishing.publish(self._outbox, [draft], lifecycle, key)
            if not answer.repeated:
                self._stored(None)

    @staticmethod
    def _draft(type: str, data: bytes, topic: str) -> Draft:
        return Draft(type, msgspec.json.encode(_Stored(lane_of(topic), msgspec.Raw(data))))

    def _store(self, draft: Draft, again: bool = True) -> None:
        storing = self.publishing.publish(self._outbox, [draft], self.endpoint.lifecycle)
        storing.addCallbacks(self._stored, self._not_stored, errbackArgs=(draft, again))

    def _stored(self, _: object) -> None:
        self.counts["stored"] += 1
        self._more = True
        self._passes.look()

    def _not_stored(self, failure: Failure, draft: Draft, again: bool) -> None:
        if not failure.check(Refusal):
            self._log.failure("storing an event for a webhook failed", failure)
        if not again:
            return
        if len(self._unstored) >= UNSTORED:
            self._unstored.popleft()
            self._lost(1, "because the log does not take them")
        self._unstored.append(draft)
        self._passes.look_in(RETRY_SECONDS)

    def _lost(self, count: int, why: str) -> None:
        self.counts["dropped"] += count
        now = self.publishing.seconds()
        if now > self._complained + 60:
            self._complained = now
            self._log.error(
                "events for the webhook {name} are dropped, {why}; {count} so far",
                name=self.endpoint.name,
                why=why,
                count=self.counts["dropped"],
            )

    # delivering

    def _not_worked(self, failure: Failure) -> None:
        if not failure.check(Refusal):
            self._log.failure("delivering webhooks failed", failure)

    async def _work(self) -> None:
        for _ in range(len(self._unstored)):
            self._store(self._unstored.popleft())
        if not await self.lease.renew():
            # Whoever has it next begins where the one before has left off.
            self._resumed = False
            self._passes.look_in(LOOK_SECONDS)
            return
        if not self._resumed:
            await self._resume()
        await self._read()
        now = self.publishing.seconds()
        for number, happening in list(self._lanes.take(now)):
            self._deliver(number, happening)
        due = self._lanes.due()
        pause = None if due is None else max(0.0, due - now)
        if not self.publishing.log.everything:
            pause = LOOK_SECONDS if pause is None else min(pause, LOOK_SECONDS)
        if self._unstored:
            # However long a lane waits for its endpoint.
            pause = RETRY_SECONDS if pause is None else min(pause, RETRY_SECONDS)
        if pause is not None:
            self._passes.look_in(pause)

    async def _resume(self) -> None:
        page = await self.publishing.log.read(self._done, EVERYTHING, 100, _PAGE_BYTES)
        done = _DONE.decode(page.messages[-1].data) if page.messages else _Done(EVERYTHING, {})
        # Requests that are under way are of the lanes before, and count for nothing here.
        self._lanes = Lanes.resume(done.floor, done.lanes)
        self._resumed = self._more = self._behind = True

    async def _read(self) -> None:
        log, lanes = self.publishing.log, self._lanes
        self._more |= not log.everything
        while self._more and lanes.count < HELD:
            page = await log.read(self._outbox, lanes.read, _PAGE_MESSAGES, _PAGE_BYTES)
            page = page.up_to(log.head)
            try:
                # Else nothing was lost: an outbox that has long been empty is dropped, and then
                # counts as removed up to another topic's last id.
                if page.messages and self._behind:
                    page.judge(lanes.read)
            except ReplayTooOld:
                self._lost(1, "because they are older or more than its outbox keeps")
            for message in page.messages:
                stored = _STORED.decode(message.data)
                lanes.put(stored.lane, Happening(message.id, message.type, bytes(stored.data)))
            self._behind = page.more
            if not page.more:
                self._more = False
                if not page.messages:
                    # What was removed is not asked for again.
                    lanes.read = max(lanes.read, page.removed)

    def _deliver(self, number: int, happening: Happening) -> None:
        kept = self.endpoint.lifecycle.replay_window_ms
        if happening.id / 1_000_000 + kept / 1000 < self.publishing.wall():
            self._lost(1, "because they were not taken in time")
            self._finished(number, self._lanes)
            return
        sending = self.endpoint.deliver(happening)
        lanes = self._lanes
        sending.addCallbacks(
            self._answered,
            self._failed,
            callbackArgs=(number, lanes),
            errbackArgs=(number, lanes),
        )
        sending.addErrback(lambda failure: self._log.failure("a webhook failed", failure))

    def _answered(self, answer: tuple[int, float], number: int, lanes: Lanes[Happening]) -> None:
        status, retry_after = answer
        if 200 <= status < 300:
            self.counts["delivered"] += 1
            self._finished(number, lanes)
        elif status == GONE:
            self._log.error(
                "the webhook {name} has answered 410: nothing is sent to it any more until the"
                " server starts again",
                name=self.endpoint.name,
            )
            self.stop()
        else:
            self._again_later(number, lanes, f"it answered {status}", retry_after)

    def _failed(self, failure: Failure, number: int, lanes: Lanes[Happening]) -> None:
        if not failure.check(Unreachable):
            self._log.failure("sending a webhook failed", failure)
        self._again_later(number, lanes, str(failure.value))

    def _again_later(
        self, number: int, lanes: Lanes[Happening], why: str, retry_after: float = 0.0
    ) -> None:
        self.counts["failed"] += 1
        now = self.publishing.seconds()
        if now > self._complained + 60:
            self._complained = now
            self._log.warn(
                "the webhook {name} does not take an event: {why}; it is tried again",
                name=self.endpoint.name,
                why=why,
            )
        lanes.failed(number, now, self.random(), retry_after, self.endpoint.longest_pause)
        self._passes.look()

    def _finished(self, number: int, lanes: Lanes[Happening]) -> None:
        lanes.delivered(number)
        if lanes is not self._lanes:
            return
        self._unsaved = True
        self._save()
        self._passes.look()

    def _save(self) -> None:
        """Store what is done; while that is under way what follows waits for the next time."""
        if self._saving or not self._unsaved:
            return
        self._saving, self._unsaved = True, False
        floor, further = self._lanes.positions
        draft = Draft("done", msgspec.json.encode(_Done(floor, dict(further))))
        saving = self.publishing.publish(self._done, [draft], DONE_LIFECYCLE)
        saving.addCallbacks(self._saved, self._not_saved)

    def _saved(self, _: object) -> None:
        self._saving = False
        self._save()

    def _not_saved(self, failure: Failure) -> None:
        self._saving = False
        self._unsaved = True
        if not failure.check(Refusal):
            self._log.failure("storing what was delivered failed", failure)
        if not self._passes.stopped:
            self.deadlines.at(self.publishing.seconds() + RETRY_SECONDS, self._save)
