"""Durable streams over the replay log: what they hold, and changes to them, one after the other.

The state of a stream is read from the log, kept, and read on.  Changes of one stream are decided
in their order and stored together, so that tokens that come while a transaction is under way are
the next one.  Rule: what is stored rests on all that is in the log, and so does whatever is
refused: a state that may be old is read on before anybody is told no.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

import attrs
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.core.durable_stream import (
    CREATE,
    DATA,
    DELETE,
    StreamBounds,
    StreamState,
)
from takotwist.core.log import Page
from takotwist.core.stream_change import (
    Change,
    Decision,
    NoteRead,
    Result,
    Write,
)
from takotwist.core.topic import Draft, Message, Topic
from takotwist.errors import Overloaded, ReplayTooOld, StoreUnavailable
from takotwist.flow.followed import FollowedTopics
from takotwist.flow.publish import PublisherService
from takotwist.ports import IReplayLog

#: Messages and bytes of one page of the log.
PAGE_MESSAGES, PAGE_BYTES = 1_000, 512 * 1024

#: Changes and bytes that are stored together.
BATCH_CHANGES, BATCH_BYTES = 256, 1024 * 1024

#: Changes of one stream that wait.
MAX_WAITING = 1_000

#: Streams whose state is kept, and producers that they may know together.
MAX_KNOWN, MAX_PRODUCERS = 2_048, 100_000

#: So often somebody else may be faster.
TRIES = 10


@attrs.frozen(slots=True)
class Outcome:
    """The answer to a change.

    :ivar tail: of the stream, after it; 0 where there is none.
    """

    decision: Decision
    tail: int

    @property
    def result(self) -> Result:
        """The outcome."""
        return self.decision.result


@attrs.frozen(slots=True)
class Chunks:
    """Some of what a stream holds.

    :ivar after: the id behind which it begins, and `to` where it ends.
    :ivar more: the stream has more than this.
    """

    data: list[bytes]
    after: int
    to: int
    more: bool


@attrs.define(slots=True, eq=False)
class _Stream:
    """One stream.

    :ivar state: up to its position; `None` where nothing has been read.
    :ivar waiting: changes, with whom to tell.
    """

    topic: Topic
    state: StreamState | None = None
    waiting: deque[tuple[Change, Deferred[Outcome]]] = attrs.field(factory=deque, init=False)
    busy: bool = attrs.field(default=False, init=False)


@attrs.define(slots=True, eq=False)
class StreamService:
    """The durable streams of a server.

    :ivar bounds: of one stream.
    :ivar wall: unix time in seconds.
    """

    log: IReplayLog
    followed: FollowedTopics
    publishing: PublisherService
    bounds: StreamBounds
    wall: Callable[[], float]
    _known: OrderedDict[str, _Stream] = attrs.field(factory=OrderedDict, init=False)
    _logger: Logger = attrs.field(factory=Logger, init=False)

    @property
    def now_us(self) -> int:
        """Unix time."""
        return int(self.wall() * 1_000_000)

    async def look(self, topic: Topic) -> StreamState | None:
        """The state of a stream now; `None` where there is none.

        :raises StoreUnavailable: the log cannot be read.
        """
        state = await self._refreshed(self._stream(topic))
        return state if state.lives(self.now_us, self.bounds) else None

    def change(self, topic: Topic, change: Change) -> Deferred[Outcome]:
        """Change a stream; fires after the commit.

        :raises StoreUnavailable: :raises Overloaded: it is not known to be stored.
        """
        stream = self._stream(topic)
        answer: Deferred[Outcome] = Deferred()
        if len(stream.waiting) >= MAX_WAITING:
            answer.errback(Failure(Overloaded("Too many changes of this stream wait.")))
            return answer
        stream.waiting.append((change, answer))
        if not stream.busy:
            stream.busy = True
            ensureDeferred(self._work(stream)).addErrback(
                lambda failure: self._logger.failure("changing a stream failed", failure)
            )
        return answer

    async def note_read(self, topic: Topic, state: StreamState) -> None:
        """Somebody reads a stream, which may live the longer for it."""
        if NoteRead.due(state, self.now_us, self.bounds):
            await self.change(topic, NoteRead())

    async def read(self, topic: Topic, state: StreamState, after: int, most: int) -> Chunks:
        """Chunks of a stream after an id.

        :param most: bytes, about; one chunk at least where there is one.
        :raises ReplayTooOld: they are gone.
        """
        if after >= state.tail:
            return Chunks([], after, after, False)
        page = await self._page(topic, after, most)
        if page.removed > after:
            raise ReplayTooOld
        data, to = [], after
        for message in page.messages:
            kind = message.type.partition(" ")[0]
            if kind == DATA:
                data.append(message.data)
                to = message.id
            elif kind in (CREATE, DELETE):
                break
        return Chunks(data, after, to, page.more and to < state.tail)

    def __len__(self) -> int:
        """Streams whose state is kept."""
        return len(self._known)

    # inside

    def _stream(self, topic: Topic) -> _Stream:
        stream = self._known.get(topic.key)
        if stream is None:
            stream = self._known[topic.key] = _Stream(topic)
            self._forget_some()
        self._known.move_to_end(topic.key)
        return stream

    def _forget_some(self) -> None:
        """The longest unused ones, but none that is being changed, nor the newest."""
        known = self._known
        producers = sum([len(one.state.producers) for one in known.values() if one.state])
        for key, one in list(known.items())[:-1]:
            if len(known) <= MAX_KNOWN and producers <= MAX_PRODUCERS:
                return
            # One that waits for the log for long keeps itself alone.
            if not one.busy:
                del known[key]
                producers -= len(one.state.producers) if one.state else 0

    async def _page(self, topic: Topic, after: int, most: int) -> Page:
        """A page that ends where this node has been told of everything."""
        page = await self.log.read(topic, after, PAGE_MESSAGES, most)
        if not self.log.everything:
            # Whoever was answered by another node finds here what that one told them.
            await self.followed.reach(page.head)
        return page.up_to(self.log.head)

    async def _refreshed(self, stream: _Stream) -> StreamState:
        """The stream's state, read on to where the log is now."""
        state = stream.state
        if state is None:
            state = StreamState()
        while True:
            began = state.position
            page = await self._page(stream.topic, began, PAGE_BYTES)
            if began and page.removed > began:
                # Some of what came after is gone: it is another stream, or none.
                state = StreamState()
                continue
            self._take(state, page.messages)
            if not page.more:
                state.position = max(state.position, page.head)
                break
        kept = stream.state
        if kept is None or kept is state or kept.position < state.position:
            stream.state = state
        return stream.state or state

    @staticmethod
    def _take(state: StreamState, messages: Sequence[Message]) -> None:
        for message in messages:
            # Others may have read on meanwhile.
            if message.id > state.position:
                state.apply(message.id, message.type, message.data)

    async def _work(self, stream: _Stream) -> None:
        try:
            while stream.waiting:
                batch = self._next(stream)
                try:
                    outcomes = await self._store(stream, [change for change, _ in batch])
                except Exception:
                    # Nobody knows what of it is in the log: it is read again.
                    stream.state = None
                    failure = Failure()
                    for _, answer in batch:
                        answer.errback(failure)
                else:
                    for (_, answer), outcome in zip(batch, outcomes, strict=True):
                        answer.callback(outcome)
        finally:
            stream.busy = False

    @staticmethod
    def _next(stream: _Stream) -> list[tuple[Change, Deferred[Outcome]]]:
        """The changes that are stored together: writes, or one change of another kind."""
        waiting = stream.waiting
        batch = [waiting.popleft()]
        room = BATCH_BYTES
        while waiting and isinstance(batch[-1][0], Write) and len(batch) < BATCH_CHANGES:
            change = waiting[0][0]
            room -= batch[-1][0].size
            if not isinstance(change, Write) or change.size > room:
                break
            batch.append(waiting.popleft())
        return batch

    async def _store(self, stream: _Stream, changes: Sequence[Change]) -> list[Outcome]:
        current = stream.state is None
        if current:
            await self._refreshed(stream)
        for _ in range(TRIES):
            before = stream.state
            if before is None:
                raise StoreUnavailable
            decisions = self._decide(before, changes)
            if not current and not all(decision.drafts for decision in decisions):
                await self._refreshed(stream)
                current = True
                continue
            drafts = [draft for decision in decisions for draft in decision.drafts]
            tail = before.tail if before.lives(self.now_us, self.bounds) else 0
            if not drafts:
                return [Outcome(decision, tail) for decision in decisions]
            stored = await self._append(stream, drafts, decisions, before.position)
            if stored:
                if stream.state is not None:
                    self._take(stream.state, stored)
                return list(_outcomes(decisions, stored, tail))
            # Somebody else was faster.
            await self._refreshed(stream)
            current = True
        raise Overloaded("Too many write to this stream at once.")

    async def _append(
        self,
        stream: _Stream,
        drafts: Sequence[Draft],
        decisions: Sequence[Decision],
        after: int,
    ) -> Sequence[Message]:
        lifecycle = next(one.lifecycle for one in reversed(decisions) if one.lifecycle is not None)
        appended = await self.publishing.publish(stream.topic, drafts, lifecycle, after=after)
        return appended.messages

    def _decide(self, before: StreamState, changes: Sequence[Change]) -> list[Decision]:
        """Each on what the ones before it will have left."""
        now_us, state = self.now_us, before.copy()
        decisions = []
        for change in changes:
            decision = change.decide(state, now_us, self.bounds)
            decisions.append(decision)
            for draft in decision.drafts:
                state.apply(state.position + 1, draft.type, draft.data)
        return decisions


def _outcomes(
    decisions: Sequence[Decision], stored: Sequence[Message], tail: int
) -> Sequence[Outcome]:
    outcomes = []
    at = 0
    for decision in decisions:
        for message in stored[at : at + len(decision.drafts)]:
            if message.type.partition(" ")[0] in (CREATE, DATA):
                tail = message.id
        at += len(decision.drafts)
        outcomes.append(Outcome(decision, tail))
    return outcomes
