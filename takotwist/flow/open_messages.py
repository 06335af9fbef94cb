"""Streamed messages that are open, on this node and on all others.

They stand in a topic of the server's own, each with a key, and stay there until they are closed.
A node that starts reads them; nodes that share a log follow them.  Rule: each one is looked after
in time by every node, so that none stays open because a node, or its writer, has gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial

import attrs
import msgspec
from twisted.internet.defer import Deferred, DeferredLock, ensureDeferred
from twisted.logger import Logger

from takotwist.core.channel import Lifecycle
from takotwist.core.deadlines import Deadline
from takotwist.core.streamed_message import OPEN_MESSAGES, stream_of
from takotwist.core.topic import EVERYTHING, Draft, Topic
from takotwist.errors import Overloaded, Refusal, StoreUnavailable
from takotwist.flow.attach import RETRY_SECONDS, Attacher
from takotwist.flow.listening import Listening
from takotwist.flow.publish import PublisherService

#: Messages of one server that are open.
MAX_OPEN = 10_000

#: Messages and bytes of one page of the log.
PAGE_MESSAGES, PAGE_BYTES = 1_000, 512 * 1024

#: That one was closed is seen by nodes that follow for so long.
_LIFECYCLE = Lifecycle(replay_window_ms=600_000)

_OPEN, _CLOSED = "open", "closed"


class Entry(msgspec.Struct, frozen=True):
    """A message that is open, as it stands in the topic of those.

    :ivar params: of its topic.
    """

    channel: str
    params: dict[str, object]
    id: str


@attrs.define(slots=True, eq=False)
class OpenMessage:
    """One that is open.

    :ivar of: its topic, and `stream`: that of what is written.
    :ivar since_us: this node cannot have heard of its writer before.
    :ivar finishing: held by whoever stores its final message.
    """

    entry: Entry
    of: Topic
    stream: Topic
    since_us: int
    due: Deadline | None = attrs.field(default=None, init=False)
    finishing: DeferredLock = attrs.field(factory=DeferredLock, init=False)


#: Looks after a message; gives microseconds after which it is to be called again, or 0.
LookAfter = Callable[[OpenMessage], Awaitable[int]]


@attrs.define(slots=True, eq=False)
class OpenMessages:
    """All that are open.

    :ivar max_open: in one topic.
    :ivar lease_us: after which one is looked after.
    """

    publishing: PublisherService
    attacher: Attacher
    max_open: int
    lease_us: int
    _look_after: LookAfter | None = attrs.field(default=None, init=False)
    _open: dict[str, OpenMessage] = attrs.field(factory=dict, init=False)
    _by_topic: dict[str, dict[str, OpenMessage]] = attrs.field(factory=dict, init=False)
    _listening: Listening | None = attrs.field(default=None, init=False)
    _again: Deadline | None = attrs.field(default=None, init=False)
    _stopped: bool = attrs.field(default=False, init=False)
    _logger: Logger = attrs.field(factory=Logger, init=False)

    def start(self, look_after: LookAfter) -> None:
        """Learn what is open.  Before the log can be read it is tried again."""
        self._look_after = look_after
        log = self.attacher.log
        if not log.keyed:
            return
        if log.everything:
            # All that follows is this node's own.
            self._run(self._read())
            return
        self._listening = Listening(
            self.attacher,
            self.publishing.flush_batch,
            OPEN_MESSAGES,
            _LIFECYCLE,
            self._take,
            self._forget_all,
            EVERYTHING,
        )
        self._listening.start()

    def stop(self) -> None:
        """Look after nothing any more: what is open is found at the next start."""
        self._stopped = True
        if self._listening is not None:
            self._listening.stop()
        if self._again is not None:
            self._again.cancel()
        self._forget_all()

    def get(self, stream: Topic) -> OpenMessage | None:
        """The one that is written to this stream."""
        return self._open.get(stream.key)

    def in_topic(self, topic: Topic) -> Sequence[OpenMessage]:
        """Those of one topic."""
        return list(self._by_topic.get(topic.key, {}).values())

    def found(self, topic: Topic, id: str) -> OpenMessage:
        """One that this node has not heard of yet may have been opened by another."""
        return self._add(Entry(topic.channel, dict(topic.params), id))

    async def add(self, topic: Topic, id: str) -> None:
        """Store that one is open.

        :raises Overloaded: too many are.
        """
        stream, here = stream_of(topic, id), self._by_topic.get(topic.key, {})
        known = stream.key in here
        if not known:
            if len(here) >= self.max_open:
                raise Overloaded(f"{self.max_open} messages of this topic are open already.")
            if len(self._open) >= MAX_OPEN:
                raise Overloaded("Too many messages are open.")
        one = self._add(Entry(topic.channel, dict(topic.params), id))
        draft = Draft(_OPEN, msgspec.json.encode(one.entry))
        try:
            await self.publishing.publish(
                OPEN_MESSAGES, [draft], _LIFECYCLE, keys=(stream.key,), kept=True
            )
        except Refusal:
            if not known:
                # Else somebody else has it open.
                self._remove(one)
            raise

    async def close(self, one: OpenMessage) -> None:
        """Store that it is open no more."""
        draft = Draft(_CLOSED, msgspec.json.encode(one.entry))
        await self.publishing.publish(OPEN_MESSAGES, [draft], _LIFECYCLE, keys=(one.stream.key,))
        self._remove(one)

    def __len__(self) -> int:
        return len(self._open)

    # inside

    async def _read(self) -> None:
        after, more = EVERYTHING, True
        try:
            while more and not self._stopped:
                page = await self.attacher.log.read(OPEN_MESSAGES, after, PAGE_MESSAGES, PAGE_BYTES)
                for message in page.messages:
                    after = message.id
                    self._take(message.type, message.data)
                more = page.more
        except StoreUnavailable:
            if not self._stopped:
                when = self.attacher.seconds() + RETRY_SECONDS
                again = self.attacher.deadlines.at(when, lambda: self._run(self._read()))
                self._again = again

    def _take(self, kind: str, data: bytes) -> None:
        if self._stopped:
            return
        entry = msgspec.json.decode(data, type=Entry)
        if kind == _OPEN:
            self._add(entry)
        elif kind == _CLOSED:
            of = Topic.of(entry.channel, entry.params)
            one = self._open.get(stream_of(of, entry.id).key)
            if one is not None:
                self._remove(one)

    def _add(self, entry: Entry) -> OpenMessage:
        of = Topic.of(entry.channel, entry.params)
        stream = stream_of(of, entry.id)
        one = self._open.get(stream.key)
        if one is None:
            now_us = int(self.publishing.wall() * 1_000_000)
            one = self._open[stream.key] = OpenMessage(entry, of, stream, now_us)
            self._by_topic.setdefault(of.key, {})[stream.key] = one
            self._look_in(one, self.lease_us)
        return one

    def _remove(self, one: OpenMessage) -> None:
        if one.due is not None:
            one.due.cancel()
            one.due = None
        if self._open.get(one.stream.key) is one:
            del self._open[one.stream.key]
            here = self._by_topic[one.of.key]
            del here[one.stream.key]
            if not here:
                del self._by_topic[one.of.key]

    def _forget_all(self) -> None:
        for one in list(self._open.values()):
            self._remove(one)

    def _look_in(self, one: OpenMessage, us: int) -> None:
        when = self.attacher.seconds() + us / 1_000_000
        one.due = self.attacher.deadlines.at(when, partial(self._look, one))

    def _look(self, one: OpenMessage) -> None:
        one.due = None
        self._run(self._looked(one))

    async def _looked(self, one: OpenMessage) -> None:
        try:
            again_us = 0 if self._look_after is None else await self._look_after(one)
        except Refusal:
            # Such as a log that cannot be read now, which says so itself.
            again_us = int(RETRY_SECONDS * 1_000_000)
        except Exception:
            self._logger.failure("looking after a streamed message failed")
            again_us = self.lease_us
        if again_us and not self._stopped and self._open.get(one.stream.key) is one:
            self._look_in(one, again_us)

    def _run(self, doing: Coroutine[Deferred[object], object, None]) -> None:
        ensureDeferred(doing).addErrback(
            lambda failure: self._logger.failure("looking after streamed messages failed", failure)
        )
