"""The writer's end: the one process that has the log, and the workers that use it.

Batches that come while a transaction is under way form the next one, whichever workers they
come from.  Rules: a report goes to every worker before the answers of its transaction; it has
the messages of the topics that the worker follows, encoded once for all of them; and a worker
that does not read is skipped over, and told afterwards which of its topics it has to read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from takotwist.adapters.shared.frame_reader import (
    VERSION,
    FrameReader,
    OtherVersion,
    preamble,
)
from takotwist.adapters.shared.frames import (
    ASKED,
    FULL,
    Answers,
    AppendBatch,
    Done,
    Failed,
    Follow,
    Hello,
    Newest,
    Nodes,
    NodesRead,
    Number,
    PageRead,
    Read,
    Renew,
    ReportFrame,
    Stats,
    StatsRead,
    Told,
    Unfollow,
    Welcome,
    append_of,
    data_of,
    encode,
    named,
    stored_of,
    text,
    topic_report,
)
from takotwist.adapters.sqlite.batches import Batch
from takotwist.adapters.sqlite.log import SqliteReplayLog
from takotwist.core.log import Appended, LogStats, Page, Report
from takotwist.core.node import Node
from takotwist.ports import ILogFollower

T = TypeVar("T")

#: Most entries of several workers in one transaction, and most bytes; at least one batch.
MAX_ENTRIES, MAX_BYTES = 1024, 8 * 2**20


@attrs.define(slots=True, eq=False)
class _Waiting:
    """A batch that waits for its transaction."""

    worker: WorkerConnection
    call: int
    batch: Batch
    size: int


@implementer(ILogFollower)
class LogHost(Factory):
    """Serves one log to workers; a factory of their connections.

    :param log: this process has it alone; `start` starts it.
    :param wall: unix time in seconds.
    :ivar version: of the frames that it speaks.
    """

    version = VERSION

    #: Twisted would log each start of a factory.
    noisy = False

    def __init__(self, log: SqliteReplayLog, wall: Callable[[], float]) -> None:
        self.log = log
        self.wall = wall
        self._workers: dict[WorkerConnection, None] = {}
        #: By node.
        self._waiting: dict[str, _Waiting] = {}
        self._under_way = False
        self._reported = 0

    def start(self) -> Deferred[None]:
        """Open the log."""
        return self.log.start(self).addBoth(self._started)

    def in_use(self) -> set[str]:
        """Keys of the topics that workers follow, which inactivity does not drop."""
        return set().union(*[worker.follows for worker in self._workers])

    def buildProtocol(self, address: object) -> WorkerConnection:
        """See `Factory`."""
        return WorkerConnection(self)

    # ILogFollower

    def reported(self, report: Report) -> None:
        """See `ILogFollower`."""
        before, self._reported = self._reported, report.head
        encoded: dict[str, msgspec.Raw] = {}
        for worker in self._workers:
            worker.report(before, report, encoded)

    def settled(self) -> None:
        """See `ILogFollower`."""

    # of the workers' connections

    def joined(self, worker: WorkerConnection) -> None:
        """A worker has said who it is."""
        self._workers[worker] = None

    def left(self, worker: WorkerConnection) -> None:
        """A worker's connection has gone; what it asked for is done, and answered to nobody."""
        self._workers.pop(worker, None)

    def nodes(self) -> list[Node]:
        """The workers that are there."""
        return [worker.node for worker in self._workers if worker.node is not None]

    def append(self, one: _Waiting) -> None:
        """Store a batch in the next transaction.

        A worker has one under way: what waits of it was given up since, and told its publishers
        as not stored, or is asked for once more behind a cut.  So a disk that hangs for an hour
        has as many batches wait as there are workers.
        """
        self._waiting.pop(one.batch.node, None)
        self._waiting[one.batch.node] = one
        self._store()

    def _started(self, result: object) -> object:
        self._reported = max(self._reported, self.log.head)
        return result

    def _store(self) -> None:
        if self._under_way or not self._waiting:
            return
        taken: list[_Waiting] = []
        entries, room = 0, MAX_BYTES
        for one in self._waiting.values():
            if taken and (entries + len(one.batch.entries) > MAX_ENTRIES or one.size > room):
                break
            entries, room = entries + len(one.batch.entries), room - one.size
            taken.append(one)
        for one in taken:
            del self._waiting[one.batch.node]
        self._under_way = True
        now_us = int(self.wall() * 1_000_000)
        storing = self.log.append_batches([one.batch for one in taken], now_us)
        storing.addCallbacks(self._stored, self._failed, (taken,), errbackArgs=(taken,))
        storing.addBoth(lambda _: self._next())

    def _stored(
        self, answers: Sequence[tuple[list[Appended], bool]], taken: Sequence[_Waiting]
    ) -> None:
        for one, (answer, _) in zip(taken, answers, strict=True):
            one.worker.tell(
                Answers(
                    one.call,
                    [
                        (
                            FULL if each.full else each.messages[0].id if each.messages else 0,
                            each.messages[0].place if each.messages else None,
                            stored_of(each.messages) if each.repeated else None,
                        )
                        for each in answer
                    ],
                )
            )

    def _failed(self, failure: Failure, taken: Sequence[_Waiting]) -> None:
        # The log has said why.
        for one in taken:
            one.worker.tell(Failed(one.call))

    def _next(self) -> None:
        self._under_way = False
        self._store()


@implementer(IPushProducer)
class WorkerConnection(Protocol):
    """One worker.

    :ivar node: who it is, once it has said so.
    :ivar follows: keys of the topics that it follows.
    """

    _logger = Logger()

    def __init__(self, host: LogHost) -> None:
        self.node: Node | None = None
        self.follows: set[str] = set()
        self._host = host
        self._transport: Any = None
        self._reader = FrameReader(host.version)
        #: What was not reported to it, while it does not read or has not been welcomed.
        self._missed: set[str] | None = None
        self._behind_from = 0
        self._paused = False
        self._gone = False

    def connectionMade(self) -> None:
        """See `Protocol`."""
        self._transport = self.transport
        self._transport.registerProducer(self, True)
        self._transport.write(preamble(self._host.version))

    def dataReceived(self, data: bytes) -> None:
        """See `Protocol`."""
        try:
            for body in self._reader.feed(data):
                self._take(ASKED.decode(body))
        except OtherVersion as other:
            self._logger.warn(
                "a worker whose frames are of version {theirs}, and not {ours}, was refused: it"
                " is replaced, or was to be",
                theirs=other.version,
                ours=self._host.version,
            )
            # With what it has to be told first, which is our version.
            self._transport.loseConnection()
        except (ValueError, msgspec.MsgspecError, UnicodeError):
            self._logger.failure("a worker sent what is no frame")
            self._transport.abortConnection()

    def connectionLost(self, reason: Failure = Failure(ConnectionError())) -> None:  # noqa: B008
        """See `Protocol`."""
        self._gone = True
        self._host.left(self)

    # IPushProducer: the transport's own send buffer is full

    def pauseProducing(self) -> None:
        """See `IPushProducer`: what is stored meanwhile is not reported one by one."""
        self._paused = True

    def resumeProducing(self) -> None:
        """See `IPushProducer`."""
        self._paused = False
        self._catch_up()

    def stopProducing(self) -> None:
        """See `IPushProducer`."""

    # what the host says

    def tell(self, frame: Told) -> None:
        """Send a frame."""
        if not self._gone:
            self._transport.write(encode(frame))

    def report(self, before: int, report: Report, encoded: dict[str, msgspec.Raw]) -> None:
        """Something was stored.

        :param encoded: reports of topics, as far as they were encoded for other workers.
        """
        followed = [one for one in report.topics if one.key in self.follows]
        if self._missed is not None or self._paused:
            if self._missed is None:
                self._missed, self._behind_from = set(), before
            self._missed.update([one.key for one in followed])
            return
        topics = []
        for one in followed:
            raw = encoded.get(one.key)
            if raw is None:
                raw = encoded[one.key] = topic_report(one)
            topics.append(raw)
        self.tell(ReportFrame(before, report.head, topics))

    def _catch_up(self) -> None:
        if self._missed is None or self._paused or self.node is None:
            return
        missed, self._missed = self._missed, None
        head = self._host.log.head
        self.tell(ReportFrame(self._behind_from, head, [], [data_of(key) for key in missed]))

    # what the worker says

    def _take(self, asked: object) -> None:
        if isinstance(asked, AppendBatch):
            self._append(asked)
        elif isinstance(asked, Read):
            reading = self._host.log.read(
                named(asked.key), asked.after, asked.limit, asked.max_bytes
            )
            self._answer(asked.call, reading, _page_read)
        elif isinstance(asked, Follow):
            self.follows.add(text(asked.key))
            if self._missed is not None:
                # Its head is still below what was not reported to it.
                self._missed.add(text(asked.key))
            self.tell(Done(asked.call))
        elif isinstance(asked, Unfollow):
            self.follows.discard(text(asked.key))
        elif isinstance(asked, Hello):
            self._greet(asked)
        elif isinstance(asked, Newest):
            self._answer(asked.call, self._host.log.newest(), Number)
        elif isinstance(asked, Renew):
            if self.node is not None:
                self.node = attrs.evolve(self.node, info=asked.info)
            self.tell(Done(asked.call))
        elif isinstance(asked, Stats):
            self._answer(asked.call, self._host.log.stats(), _stats_read)
        elif isinstance(asked, Nodes):
            nodes = [(node.name, node.since, node.info) for node in self._host.nodes()]
            self.tell(NodesRead(asked.call, nodes))

    def _greet(self, hello: Hello) -> None:
        host = self._host
        self.follows = set(map(text, hello.follows))
        # From here on what is stored is taken down, and the look into the log is later than that.
        self._missed = set()
        host.joined(self)
        since = host.wall()

        def greeted(changed: set[str]) -> None:
            assert self._missed is not None
            changed, self._missed = (changed | self._missed) & self.follows, None
            self.node = Node(hello.node, since, b"")
            self.tell(Welcome(host.log.head, [data_of(key) for key in changed]))

        def failed(failure: Failure) -> None:
            # The log has said why.  The worker comes again.
            if not self._gone:
                self._transport.abortConnection()

        host.log.changed(self.follows, hello.head).addCallbacks(greeted, failed)

    def _append(self, asked: AppendBatch) -> None:
        if self.node is None:
            raise ValueError("a batch before the welcome")
        entries = list(map(append_of, asked.entries))
        batch = Batch(self.node.name, asked.number, entries)
        self._host.append(_Waiting(self, asked.call, batch, sum([one.size for one in entries])))

    def _answer(self, call: int, doing: Deferred[T], frame: Callable[[int, T], Told]) -> None:
        doing.addCallbacks(
            lambda result: self.tell(frame(call, result)),
            # The log has said why.
            lambda failure: self.tell(Failed(call)),
        )


def _page_read(call: int, page: Page) -> PageRead:
    return PageRead(call, stored_of(page.messages), page.more, page.head, page.removed)


def _stats_read(call: int, stats: LogStats) -> StatsRead:
    return StatsRead(call, stats.topics, stats.messages, stats.bytes)
