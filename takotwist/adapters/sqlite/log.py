"""A replay log in one SQLite file.

One thread writes, a few read, all through adbapi; SQLite's write-ahead log lets
the readers be.  Rule: `head` rises in the reactor's thread, in the turn in which
the append is answered, so that nobody sees a head whose messages were not
reported.

Rule: what is in a thread goes on to its end, also where whoever asked cancels; its
report is made, and it is counted as in flight until then.

What the readers do: each function below is the inside of one read transaction.

Rule: messages and watermark come from the same snapshot; read apart, a removal
between the two would make a gap that nobody is told of.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Sequence
from functools import partial
from operator import itemgetter
from typing import Literal, TypeVar

from twisted.enterprise.adbapi import ConnectionPool
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from takotwist.adapters.log_condition import Condition
from takotwist.adapters.sqlite import removal, writer
from takotwist.adapters.sqlite.batches import Batch, append_batches
from takotwist.adapters.sqlite.connection import Connection
from takotwist.adapters.sqlite.errors import Kind, Trouble
from takotwist.adapters.sqlite.file import Durability, StoreFile
from takotwist.adapters.sqlite.rows import Known
from takotwist.adapters.sqlite.writer_thread import StayingThread
from takotwist.core.log import Append, Appended, LogStats, Page, Report
from takotwist.core.retention import Watched
from takotwist.core.topic import NEWEST, Message, Topic
from takotwist.errors import StoreUnavailable
from takotwist.interfaces import IReactor
from takotwist.ports import ILogFollower, IReplayLog

T = TypeVar("T")

_MODULE = "takotwist.adapters.sqlite.connection"


@implementer(IReplayLog)
class SqliteReplayLog:
    """See `IReplayLog`.

    :param path: of the database file; its folder has to exist.
    :param reactor: whose threads are used.
    :param wall: unix time in seconds; the reactor's where absent.
    :param durability: ``commit``: what is acknowledged survives the end of the
        process, however it ends; ``power``: and the machine's.  With ``commit`` a
        machine that stopped under the log makes every older cursor too old,
        because the last commits may be lost.
    :param readers: how many threads read.
    :param make_pool: makes adbapi's pools; a test gives one without threads.
    """

    log = Logger()
    everything = True
    keyed = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        reactor: IReactor,
        wall: Callable[[], float] | None = None,
        durability: Durability = "commit",
        readers: int = 2,
        make_pool: Callable[..., ConnectionPool] = ConnectionPool,
    ) -> None:
        self.head = 0
        self._follower: ILogFollower | None = None
        self._reactor = reactor
        self._wall = wall or reactor.seconds
        self._readers = readers
        self._make_pool = make_pool
        self._watched = Watched()
        self._file = StoreFile(os.fspath(path), durability, self._wall, self._watched)
        self._condition = Condition(self._file.path)
        self._known = Known()
        self._pools: dict[str, ConnectionPool] = {}
        self._writing: StayingThread | None = None
        self._under_way = 0
        self._idle: Deferred[None] | None = None

    @property
    def available(self) -> bool:
        """See `IReplayLog`.  A file that could not be opened is tried by each sweep."""
        return bool(self._pools) and self.head > 0

    def start(self, follower: ILogFollower | None = None) -> Deferred[None]:
        """See `IReplayLog`.  It is answered once the reactor runs: adbapi waits for that."""
        self._follower = follower
        self._watched.opened_us = int(self._wall() * 1_000_000)
        self._pools = {"write": self._pool("write", 1), "read": self._pool("read", self._readers)}
        self._writing = StayingThread(self._pools["write"], self._reactor, Connection.rest)
        return self._open().addErrback(_unavailable)

    def stop(self) -> Deferred[None]:
        """See `IReplayLog`."""
        pools, self._pools = self._pools, {}
        if not pools:
            return succeed(None)
        if not pools["write"].running:
            # The reactor never ran, so nothing was done and nothing will be.
            for pool in pools.values():
                pool.close()
            return succeed(None)
        writing, self._writing = self._writing, None
        assert writing is not None
        self._idle = Deferred()
        stopping = self._idle
        # The writer last: who closes last writes the write-ahead log home.
        stopping.addCallback(lambda _: pools["read"].close())
        stopping.addCallback(lambda _: writing.let_go())
        stopping.addCallback(lambda _: pools["write"].runWithConnection(_close_in_order))
        stopping.addCallback(lambda _: pools["write"].close())
        self._finished(0)
        return stopping

    def append(self, entries: Sequence[Append], now_us: int) -> Deferred[list[Appended]]:
        """See `IReplayLog`."""
        for entry in entries:
            self._watched.told(entry.lifecycle.inactivity_ttl_ms)
        work = partial(
            writer.append,
            entries=entries,
            now_us=now_us,
            watched=self._watched,
            known=self._known,
        )
        return self._write(work, told=lambda appended: self._report(appended, entries))

    def append_batches(
        self, batches: Sequence[Batch], now_us: int
    ) -> Deferred[list[tuple[list[Appended], bool]]]:
        """Store what several processes append, in one transaction; for the log's writer process.

        :param batches: one of each process at most.
        :return: for each the answers, and whether they are those of an earlier time, when its
            answer was lost; else as `append`, reports included.
        """
        for batch in batches:
            for entry in batch.entries:
                self._watched.told(entry.lifecycle.inactivity_ttl_ms)
        work = partial(
            append_batches,
            batches=batches,
            now_us=now_us,
            watched=self._watched,
            known=self._known,
        )
        return self._write(work, told=lambda answers: self._report_batches(answers, batches))

    def changed(self, keys: Collection[str], since: int) -> Deferred[set[str]]:
        """Those topics of `keys` of which something was stored or removed after the id `since`."""
        return self._read(partial(changed, keys=frozenset(keys), since=since))

    def follow(self, topic: Topic) -> Deferred[None]:
        """See `IReplayLog`."""
        return succeed(None)

    def unfollow(self, key: str) -> None:
        """See `IReplayLog`."""

    def newest(self) -> Deferred[int]:
        """See `IReplayLog`."""
        if self.head:
            return succeed(self.head)
        # It could not be opened so far, and nobody knows what is in it.
        return self._open().addCallback(lambda _: self.head)

    def read(self, topic: Topic, after: int, limit: int, max_bytes: int) -> Deferred[Page]:
        """See `IReplayLog`."""
        work = partial(read, topic=topic, after=after, limit=limit, max_bytes=max_bytes)
        return self._read(work)

    def sweep(self, now_us: int, in_use: Collection[str]) -> Deferred[bool]:
        """See `IReplayLog`."""
        self._watched.see(in_use, now_us)
        # A copy: the caller's own changes while the writer looks at it.
        used = frozenset(in_use)
        work = partial(
            removal.sweep, now_us=now_us, in_use=used, watched=self._watched, known=self._known
        )
        return self._write(work, side="sweep")

    def stats(self) -> Deferred[LogStats]:
        """See `IReplayLog`."""
        return self._read(stats)

    def _pool(self, side: Literal["write", "read"], threads: int) -> ConnectionPool:
        return self._make_pool(
            _MODULE, self._file, side, cp_min=1, cp_max=threads, cp_reactor=self._reactor
        )

    def _open(self) -> Deferred[None]:
        return self._write(lambda db: (None, writer.head(db, self._known)), head_of=None)

    def _write(
        self,
        work: Callable[[sqlite3.Connection], tuple[T, int]],
        *,
        told: Callable[[T], object] | None = None,
        head_of: Callable[[tuple[T, int]], int] | None = itemgetter(1),
        side: str = "write",
    ) -> Deferred[T]:
        """Do `work`, which returns an answer and the head after it, in the writer's thread.

        :param told: called with the answer once it is stored, also where nobody waits for it.
        :param head_of: `None` for work that only looks.
        :param side: what its outcome shows the condition of.
        """
        if self._writing is None:
            return fail(StoreUnavailable())
        answer: Deferred[T] = Deferred()

        def done(result: tuple[T, int]) -> None:
            try:
                stored = self._wrote(result, side)
                if told is not None:
                    told(stored)
            except Exception:
                answer.errback(self._failed(Failure(), side))
            else:
                answer.callback(stored)

        def failed(failure: Failure) -> None:
            self._finished(1)
            answer.errback(self._failed(failure, side))

        self._under_way += 1
        self._writing.do(
            lambda connection: connection.run(work, self._committed, head_of), done, failed
        )
        return answer

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> Deferred[T]:
        """Do `work` in a reader's thread; a file that is gone is first made anew."""

        def make_ready(failure: Failure) -> Deferred[T]:
            trouble = failure.value
            if not isinstance(trouble, Trouble) or trouble.kind is not Kind.NOT_READY:
                return fail(failure)
            return self._open().addCallback(lambda _: self._in_reader(work))

        # Apart from the work: a client that left has its request cancelled, and that would
        # pass for a failure of the store.
        answer: Deferred[T] = Deferred()
        reading = self._in_reader(work).addErrback(make_ready)
        reading.addCallbacks(self._has_read, self._failed, errbackArgs=("read",))
        reading.addCallbacks(answer.callback, answer.errback)
        return answer

    def _in_reader(self, work: Callable[[sqlite3.Connection], T]) -> Deferred[T]:
        if not self._pools:
            return fail(StoreUnavailable())
        self._under_way += 1
        doing: Deferred[T] = self._pools["read"].runWithConnection(Connection.run, work)
        return doing.addBoth(self._finished_with)

    def _finished_with(self, result: T) -> T:
        self._finished(1)
        return result

    def _finished(self, count: int) -> None:
        self._under_way -= count
        if self._under_way == 0 and self._idle is not None:
            idle, self._idle = self._idle, None
            idle.callback(None)

    def _committed(self, result: tuple[object, int]) -> None:
        # In the writer's thread, before anything else can go wrong.
        self._known.settle()

    def _wrote(self, result: tuple[T, int], side: str) -> T:
        self._finished(1)
        answer, head = result
        self.head = max(self.head, head)
        if self._file.notices:
            self._tell()
        self._condition.worked(side)
        return answer

    def _report(self, appended: list[Appended], entries: Sequence[Append]) -> None:
        if self._follower is not None:
            self._follower.reported(Report.of(self.head, entries, appended))

    def _report_batches(
        self, answers: list[tuple[list[Appended], bool]], batches: Sequence[Batch]
    ) -> None:
        if self._follower is not None:
            pairs = list(zip(batches, answers, strict=True))
            entries = [one for batch, (_, again) in pairs if not again for one in batch.entries]
            appended = [one for _, (answer, again) in pairs if not again for one in answer]
            self._follower.reported(Report.of(self.head, entries, appended))

    def _has_read(self, result: T) -> T:
        self._condition.worked("read")
        return result

    def _tell(self) -> None:
        notices = self._file.notices
        while notices:
            self._condition.notice(notices.pop(0))

    def _failed(self, failure: Failure, side: str) -> Failure:
        self._tell()
        if isinstance(failure.value, Trouble):
            self._condition.failed(side, failure.value)
        elif not isinstance(failure.value, StoreUnavailable):
            self.log.failure("The replay log failed", failure)
        return Failure(StoreUnavailable())


def _close_in_order(connection: Connection) -> None:
    connection.close_in_order()


def _unavailable(failure: Failure) -> None:
    failure.trap(StoreUnavailable)


def read(db: sqlite3.Connection, topic: Topic, after: int, limit: int, max_bytes: int) -> Page:
    """One page of `topic`; see `IReplayLog.read`."""
    head, removed = db.execute("SELECT head, removed FROM store").fetchone()
    row = db.execute("SELECT id, removed FROM topic WHERE key = ?", (topic.key,)).fetchone()
    if row is None:
        return Page((), False, head, removed)
    number, removed = row
    if after == NEWEST:
        [newest] = db.execute("SELECT max(id) FROM message WHERE topic = ?", (number,)).fetchone()
        after = head if newest is None else newest - 1
    messages: list[Message] = []
    more = False
    found = db.execute(
        "SELECT size, id, type, data, epoch, seq FROM message"
        " WHERE topic = ? AND id > ? ORDER BY id LIMIT ?",
        (number, after, limit + 1),
    )
    for size, *columns in found:
        max_bytes -= size
        if len(messages) == limit or (messages and max_bytes < 0):
            more = True
            break
        messages.append(writer.stored_message(topic, *columns))
    found.close()
    return Page(tuple(messages), more, head, removed)


def changed(db: sqlite3.Connection, keys: frozenset[str], since: int) -> set[str]:
    """Those of `keys` of which something was stored or removed after the id `since`."""
    found = {key for (key,) in db.execute("SELECT key FROM topic WHERE head > ?", (since,))}
    found |= {key for (key,) in db.execute("SELECT key FROM topic WHERE removed > ?", (since,))}
    [removed] = db.execute("SELECT removed FROM store").fetchone()
    if removed > since:
        # Any that has no row may have been dropped after it.
        found |= keys - {key for (key,) in db.execute("SELECT key FROM topic")}
    return found.intersection(keys)


def stats(db: sqlite3.Connection) -> LogStats:
    """The size of the log."""
    topics, messages, size = db.execute(
        "SELECT count(*), coalesce(sum(messages + kept), 0),"
        " coalesce(sum(bytes + kept_bytes), 0) FROM topic"
    ).fetchone()
    return LogStats(topics, messages, size)
