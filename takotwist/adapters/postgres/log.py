"""A replay log in PostgreSQL, which several nodes share.

Every transaction is a function in the engine, so nothing is held there while it waits for a
node.  One connection appends, one hears what was stored and reads it, two read pages and sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from psycopg.pq.abc import PGresult
from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed
from twisted.logger import Logger
from zope.interface import implementer

from takotwist.adapters.postgres.connection import Connection, Statement
from takotwist.adapters.postgres.directory import Directory
from takotwist.adapters.postgres.engine import AGAIN, FENCED, Engine, Times
from takotwist.adapters.postgres.entries import PARAMETERS, Batch, Stored, digest_of, message_of
from takotwist.adapters.postgres.errors import Kind, Trouble
from takotwist.adapters.postgres.following import Following
from takotwist.adapters.postgres.link import Link
from takotwist.adapters.postgres.outbox import PostgresOutbox
from takotwist.adapters.postgres.schema import Functions
from takotwist.adapters.postgres.values import (
    int4s,
    int8,
    int8s,
    read_byteas,
    read_int8,
    read_int8s,
)
from takotwist.core.log import Append, Appended, LogStats, Page
from takotwist.core.node import Node
from takotwist.core.outbox import Outgoing
from takotwist.core.retention import Watched
from takotwist.core.topic import Message, Topic
from takotwist.errors import StoreUnavailable
from takotwist.interfaces import Coro, IReactor
from takotwist.ports import ILogFollower, INodeDirectory, IOutbox, IReplayLog

T = TypeVar("T")

#: Connections for reading.
READERS = 2

#: Once at each opening: it looks at all topics.
LONGEST_TTL = Statement(
    b"longest_ttl", b"SELECT coalesce(max(inactivity_ttl_ms), 0)::bigint FROM topic"
)


@implementer(IReplayLog, INodeDirectory, IOutbox)
class PostgresReplayLog:
    """See `IReplayLog`.

    :param url: of libpq.
    :param node: this process, by a name that no other one ever had.
    :param schema: in which everything is.
    :param random: from 0 to 1.
    :param power: a commit is on the engine's disk, also where its configuration says otherwise.
    :param functions: the engine's; a test's have another clock.
    """

    everything = False
    keyed = True
    log = Logger()

    def __init__(
        self,
        url: str,
        *,
        node: str,
        reactor: IReactor,
        random: Callable[[], float],
        schema: str = "takotwist",
        times: Times | None = None,
        power: bool = False,
        functions: Functions | None = None,
    ) -> None:
        self._reactor = reactor
        self._node = node
        self._times = times or Times()
        self.engine = Engine(
            reactor,
            url,
            schema,
            self._times,
            replaced=self._replaced,
            random=random,
            power=power,
            functions=functions,
        )
        self._writer = self.engine.link("write", opened=self._writer_opened)
        self._readers = [self.engine.link("read") for _ in range(READERS)]
        self._following = Following(reactor, self.engine, self.reader, node)
        self._listener = self._following.link
        renew_leases = self._following.topics.renew_leases
        self._directory = Directory(reactor, self.engine, self.reader, node, renew_leases)
        self._outbox = PostgresOutbox(self.engine, self.reader, node)
        self._watched = Watched()
        self._number = 0
        self._running = self._begun = False
        self._append = self.engine.function("append", PARAMETERS)
        self._page = self.engine.function("page", 4)
        self._due = self.engine.function("due", 0)
        self._sweep = self.engine.function("sweep", 4)
        self._purge = self.engine.function("purge", 0)
        self._stats = self.engine.function("stats", 0)

    @property
    def head(self) -> int:
        """See `IReplayLog`."""
        return self._following.head

    @property
    def available(self) -> bool:
        """See `IReplayLog`.  Connections are kept, and one that an engine which says nothing is
        behind is found by the next look at its batches."""
        needed = (self._writer, self._listener, self.reader())
        return self.head > 0 and not any(link.away for link in needed)

    def start(self, follower: ILogFollower | None = None) -> Deferred[None]:
        """See `IReplayLog`."""
        self._following.start(follower)
        if self._running:
            return succeed(None)
        self._running = True
        self.engine.condition.start()
        self._directory.start()
        for link in (self._writer, *self._readers, self._listener):
            link.start()
        return ensureDeferred(self._begin())

    def stop(self) -> Deferred[None]:
        """See `IReplayLog`."""
        if not self._running:
            return succeed(None)
        self._running = False
        self.engine.condition.stop()
        self._directory.stop()
        self._following.stop()
        return ensureDeferred(self._end())

    async def _end(self) -> None:
        if self._writer.connection is not None:
            with suppress(Trouble):
                await self._directory.leave()
        for link in (self._listener, *self._readers, self._writer):
            link.stop()

    def reader(self) -> Link:
        """The connection for reading that has least to do."""
        return min(
            self._readers,
            key=lambda link: 2**30 if link.connection is None else link.connection.busy,
        )

    def append(self, entries: Sequence[Append], now_us: int) -> Deferred[list[Appended]]:
        """See `IReplayLog`.  The time is the engine's."""
        if not entries:
            return succeed([]) if self._running else fail(StoreUnavailable())
        for entry in entries:
            self._watched.told(entry.lifecycle.inactivity_ttl_ms)
        return self._answer(self._store(Batch(entries)), "write")

    def follow(self, topic: Topic) -> Deferred[None]:
        """See `IReplayLog`."""
        return self._following.topics.follow(topic) if self._running else fail(StoreUnavailable())

    def unfollow(self, key: str) -> None:
        """See `IReplayLog`."""
        self._following.topics.unfollow(key)

    def newest(self) -> Deferred[int]:
        """See `IReplayLog`."""
        return self._following.newest() if self._running else fail(StoreUnavailable())

    def read(self, topic: Topic, after: int, limit: int, max_bytes: int) -> Deferred[Page]:
        """See `IReplayLog`."""
        return self._answer(self._read(topic, after, limit, max_bytes), "read")

    def sweep(self, now_us: int, in_use: Collection[str]) -> Deferred[bool]:
        """See `IReplayLog`.  The time is the engine's."""
        return self._answer(self._remove(in_use), "write")

    def stats(self) -> Deferred[LogStats]:
        """See `IReplayLog`."""
        return self._answer(self._count(), "read")

    def renew(self, info: bytes) -> None:
        """See `INodeDirectory`."""
        self._directory.renew(info)

    def nodes(self) -> Deferred[Sequence[Node]]:
        """See `INodeDirectory`."""
        return ensureDeferred(self._directory.nodes())

    def on_outbox_growth(self, grew: Callable[[], object]) -> None:
        """See `IOutbox`."""
        self._following.on_outbox_growth(grew)

    def outgoing(self) -> Deferred[Sequence[Outgoing]]:
        """See `IOutbox`."""
        return self._answer(self._outbox.outgoing(), "read")

    def move(
        self, moved: Sequence[tuple[Outgoing, Append]], refused: Sequence[tuple[Outgoing, str]]
    ) -> Deferred[None]:
        """See `IOutbox`."""
        return self._answer(self._outbox.move(moved, refused), "write")

    def retry(self) -> Deferred[None]:
        """See `IOutbox`."""
        return self._answer(self._outbox.retry(), "write")

    # inside

    def _answer(self, work: Coro[T], side: str) -> Deferred[T]:
        if not self._running:
            work.close()
            return fail(StoreUnavailable())
        # Apart from the work, which goes on where its caller cancels: an append of which this
        # node does not know the outcome has all its followers read the log.
        answer: Deferred[T] = Deferred()
        ensureDeferred(self._told(work, side)).addCallbacks(answer.callback, answer.errback)
        return answer

    async def _told(self, work: Coro[T], side: str) -> T:
        try:
            answer = await work
        except Trouble as trouble:
            self.engine.condition.failed(side, trouble)
            raise StoreUnavailable from None
        self.engine.condition.worked(side)
        return answer

    async def _begin(self) -> None:
        try:
            connection = await self._writer.use(self._times.connect)
            head = await self.engine.greet(connection)
            await self._listener.use(self._times.connect)
        except Trouble:
            # It was told already, and is tried again.
            pass
        else:
            self._following.begin_at(head)
            await self._seen_again()
            await self._directory.say()
        self._begun = True

    def _replaced(self, head: int) -> None:
        self._following.replaced(head)

    def _writer_opened(self, connection: Connection) -> None:
        if self._begun:
            # While the engine was away no node could say who has subscribers.
            ensureDeferred(self._seen_again())

    async def _seen_again(self) -> None:
        """From here on it is known who has subscribers: nothing is dropped early."""
        with suppress(Trouble):
            result = await self.engine.call(self.reader(), self._due)
            self._watched.opened_us = read_int8(result.get_value(0, 0))
            result = await self.engine.call(self.reader(), LONGEST_TTL)
            self._watched.told(read_int8(result.get_value(0, 0)))

    async def _store(self, batch: Batch) -> list[Appended]:
        self._number += 1
        try:
            stored = await self._send(batch)
        except BaseException:
            self._following.failed()
            raise
        self.engine.saw(stored.head)
        self._following.stored(stored, batch)
        return stored.appended

    async def _send(self, batch: Batch) -> Stored:
        """Have `batch` stored, once, also where its answer is lost on the way."""
        now = self._reactor.seconds
        # From the first try: nobody who publishes waits for longer.
        until = now() + self._times.connect + self._times.statement
        sent = False
        while True:
            connection = await self._connected(until, patient=sent)
            parameters = batch.parameters(self._node, self._number, self.engine.seen)
            self._following.appending(connection.pgconn.backend_pid)
            try:
                return batch.read(await connection.call(self._append, parameters))
            except Trouble as trouble:
                left = until - now()
                if trouble.code == FENCED:
                    await self.engine.greet(connection)
                elif trouble.code not in AGAIN and connection.usable:
                    raise
                elif not connection.usable:
                    # It may be stored; the batch's number tells the engine so.
                    sent = sent or trouble.executed
                if left <= 0:
                    raise

    async def _connected(self, until: float, *, patient: bool) -> Connection:
        """The connection for writing.

        :param patient: wait also for an engine that is known to be away.
        """
        while True:
            left = max(until - self._reactor.seconds(), 0)
            try:
                return await self._writer.use(left)
            except Trouble as trouble:
                if not patient or left <= 0 or (trouble.kind is Kind.STOPPED and not self._running):
                    raise
            pause: Deferred[None] = Deferred()
            self._reactor.callLater(min(0.1, left), pause.callback, None)
            await pause

    async def _read(self, topic: Topic, after: int, limit: int, max_bytes: int) -> Page:
        parameters = [digest_of(topic.key), int8(after), int8(limit), int8(max_bytes)]
        for _ in range(3):
            link = self.reader()
            result = await self.engine.call(link, self._page, parameters)
            if result.ntuples and result.get_value(0, 0) == b"\1":
                return _page(result, topic, limit)
            connection = link.connection
            if connection is not None:
                await self.engine.greet(connection)
        raise Trouble(Kind.FAILED, "the engine changes while it is read")

    async def _remove(self, in_use: Collection[str]) -> bool:
        link = self.reader()
        result = await self.engine.call(link, self._due)
        now_us = read_int8(result.get_value(0, 0))
        needed, stale = (result.get_value(0, at) == b"\1" for at in (1, 2))
        self._watched.opened_us = self._watched.opened_us or now_us
        self._watched.see(in_use, now_us)
        more = False
        if needed:
            keys = [key.decode() for key in read_byteas(result.get_value(0, 4))]
            parameters = [
                int8(self.engine.seen),
                int8s(read_int8s(result.get_value(0, 3))),
                int8s([self._watched.last(key) for key in keys]),
                int4s([key in in_use for key in keys]),
            ]
            result = await self.engine.call(link, self._sweep, parameters)
            more = result.get_value(0, 0) == b"\1"
        if stale:
            result = await self.engine.call(link, self._purge)
            more = more or result.get_value(0, 0) == b"\1"
        return more

    async def _count(self) -> LogStats:
        result = await self.engine.call(self.reader(), self._stats)
        return LogStats(*(read_int8(result.get_value(0, at)) for at in range(3)))


def _page(result: PGresult, topic: Topic, limit: int) -> Page:
    get = result.get_value
    messages: list[Message] = []
    more = False
    for at in range(result.ntuples):
        if get(at, 4) is None:
            break
        if get(at, 3) == b"\1":
            more = True
            break
        messages.append(message_of(topic, partial(get, at), 5, read_int8(get(at, 4))))
    return Page(tuple(messages), more, read_int8(get(0, 1)), read_int8(get(0, 2)))
