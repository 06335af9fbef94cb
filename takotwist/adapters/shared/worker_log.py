"""A worker's log: everything goes through the process that writes.

Pages are read by the writer too: one process has the file, so whatever can happen to a file is
met in one place, and a worker's tails answer most readers.  (Read-only connections of each
worker's own were the alternative: they would have to find out again, each for itself, that the
file was replaced, or holds what was reported to nobody.)

Rules: a call that is under way when the writer goes away is made again, for a bounded time, and
a batch by its number, so that it is stored once; what was stored meanwhile is read from the log
by whoever needs it, since the writer names the topics that changed; and a writer that says
nothing is as good as one that is away, so that nothing piles up for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from takotwist.adapters.shared.frame_reader import VERSION
from takotwist.adapters.shared.frames import (
    Answer,
    AppendBatch,
    Asked,
    Failed,
    Follow,
    Hello,
    Newest,
    Nodes,
    Read,
    Renew,
    ReportFrame,
    Stats,
    Told,
    Unfollow,
    Welcome,
    appended_of,
    data_of,
    encode,
    entry_of,
    nodes_of,
    number_of,
    page_of,
    reported_of,
    stats_of,
    text,
    topic_report_of,
)
from takotwist.adapters.shared.writer_connection import Call, WriterConnection
from takotwist.core.log import Append, Appended, LogStats, Page, Report
from takotwist.core.node import Node
from takotwist.core.topic import Topic
from takotwist.errors import StoreUnavailable
from takotwist.ports import ILogFollower, INodeDirectory, IReplayLog

#: Seconds for which a call waits for the writer, and is made again while it is away.  Less than the
#: ten that a client waits, which is to be told what is wrong.
PATIENCE_SECONDS = 8.0

#: Seconds for which a writer that has gone is taken to be there: as long as it takes to start
#: another one, also on a busy machine.  Whoever calls meanwhile waits for it.
RESTART_SECONDS = 3.0

#: Seconds between two tries to reach it, at first and at most; each is spread by a half.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0


@implementer(IReplayLog, INodeDirectory)
class WorkerLog:
    """See `IReplayLog`.

    :param endpoint: of the writer.
    :param reactor: its clock.
    :param name: of this run of the process.
    :param random: a number from 0 to 1.
    :param outdated: called when the writer turns out to speak another version, with each try.
    :ivar version: of the frames that it speaks.
    """

    version = VERSION
    everything = False
    keyed = True
    _logger = Logger()

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        reactor: IReactorTime,
        name: str,
        random: Callable[[], float],
        outdated: Callable[[], object] = lambda: None,
    ) -> None:
        self.head = 0
        self.name = name
        self._outdated = outdated
        self._endpoint = endpoint
        self._reactor = reactor
        self._random = random
        self._follower: ILogFollower | None = None
        self._topics: dict[str, Topic] = {}
        self._calls: dict[int, Call] = {}
        self._next_call = self._batch = 0
        self._info = b""
        self._renewing = False
        self._pause = FIRST_PAUSE
        self._running = False
        self._connection: WriterConnection | None = None
        self._coming: Deferred[Any] | None = None
        self._retry: IDelayedCall | None = None
        self._started: list[tuple[Deferred[None], IDelayedCall]] = []
        self._away = False
        #: The other version of the frames that the writer spoke last.
        self._refused_by: int | None = None
        #: Until when a writer that has gone is taken to be there.
        self._expected_until = 0.0

    # IReplayLog

    @property
    def available(self) -> bool:
        """See `IReplayLog`.  A writer that hangs does not answer what this worker says of itself
        every few seconds."""
        return self._running and (self._welcomed or self.seconds() < self._expected_until)

    def start(self, follower: ILogFollower | None = None) -> Deferred[None]:
        """See `IReplayLog`."""
        self._follower = follower
        if self._running and self._welcomed:
            return succeed(None)
        started: Deferred[None] = Deferred()
        late = self._reactor.callLater(PATIENCE_SECONDS, self._give_up_starting)
        self._started.append((started, late))
        if not self._running:
            self._running = True
            self._connect()
        return started

    def stop(self) -> Deferred[None]:
        """See `IReplayLog`.  The writer goes on; what is under way is answered to nobody."""
        self._running = False
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._coming is not None:
            self._coming.cancel()
        if self._connection is not None:
            self._connection.leave()
        self._give_up_starting()
        for number in list(self._calls):
            self._give_up(number)
        return succeed(None)

    def follow(self, topic: Topic) -> Deferred[None]:
        """See `IReplayLog`."""
        self._topics[topic.key] = topic
        key = data_of(topic.key)
        following = self._ask(lambda call: Follow(call, key))
        return following.addCallbacks(lambda _: None, self._not_followed, errbackArgs=(topic.key,))

    def unfollow(self, key: str) -> None:
        """See `IReplayLog`."""
        if self._topics.pop(key, None) is not None:
            self._send(encode(Unfollow(data_of(key))))

    def newest(self) -> Deferred[int]:
        """See `IReplayLog`.  What is stored was reported before this is answered."""
        return self._ask(Newest).addCallback(number_of)

    def append(self, entries: Sequence[Append], now_us: int) -> Deferred[list[Appended]]:
        """See `IReplayLog`.  The time is the writer's own."""
        self._batch += 1
        number, frames = self._batch, list(map(entry_of, entries))
        storing = self._ask(lambda call: AppendBatch(call, number, frames))
        return storing.addCallback(appended_of, entries)

    def read(self, topic: Topic, after: int, limit: int, max_bytes: int) -> Deferred[Page]:
        """See `IReplayLog`."""
        key = data_of(topic.key)
        reading = self._ask(lambda call: Read(call, key, after, limit, max_bytes))
        return reading.addCallback(page_of, topic)

    def sweep(self, now_us: int, in_use: Collection[str]) -> Deferred[bool]:
        """See `IReplayLog`.  The writer sweeps by itself, and knows what is followed."""
        return succeed(False) if self._running else fail(StoreUnavailable())

    def stats(self) -> Deferred[LogStats]:
        """See `IReplayLog`."""
        return self._ask(Stats).addCallback(stats_of)

    # INodeDirectory

    def renew(self, info: bytes) -> None:
        """See `INodeDirectory`."""
        self._info = info
        self._renew()

    def nodes(self) -> Deferred[Sequence[Node]]:
        """See `INodeDirectory`."""
        return self._ask(Nodes).addCallback(nodes_of)

    # the way to the writer

    @property
    def _welcomed(self) -> bool:
        return self._connection is not None and self._connection.welcomed

    def _ask(self, frame: Callable[[int], Asked]) -> Deferred[Any]:
        if not self._running:
            return fail(StoreUnavailable())
        self._next_call += 1
        number = self._next_call
        encoded = encode(frame(number))
        late = self._reactor.callLater(PATIENCE_SECONDS, self._unanswered, number)
        answer: Deferred[Any] = Deferred()
        self._calls[number] = Call(encoded, answer, late)
        self._send(encoded)
        return answer

    def _send(self, frame: bytes) -> None:
        # Without a connection the next greeting is followed by it, or says it.
        if self._connection is not None and self._connection.welcomed:
            self._connection.send(frame)

    def _renew(self) -> None:
        # One at a time.
        if self._renewing or not self._welcomed:
            return
        self._renewing = True
        info = self._info

        def renewed(_: object) -> None:
            self._renewing = False

        self._ask(lambda call: Renew(call, info)).addBoth(renewed)

    def _give_up(self, number: int) -> None:
        call = self._calls.pop(number, None)
        if call is not None:
            if call.late.active():
                call.late.cancel()
            call.answer.errback(Failure(StoreUnavailable()))

    def _unanswered(self, number: int) -> None:
        self._give_up(number)
        connection = self._connection
        if connection is None or not connection.welcomed:
            return
        if self.seconds() - connection.heard_at >= PATIENCE_SECONDS:
            # Connected anew it is sent nothing until it has answered the greeting.
            if not self._away:
                self._away = True
                self._logger.error(
                    "the log's writer has not answered for {seconds:g} seconds; waiting for it",
                    seconds=PATIENCE_SECONDS,
                )
            connection.abort()

    def _give_up_starting(self) -> None:
        started, self._started = self._started, []
        for one, late in started:
            if late.active():
                late.cancel()
            one.errback(Failure(StoreUnavailable()))

    def _connect(self) -> None:
        self._retry = None
        self._coming = self._endpoint.connect(Factory.forProtocol(lambda: WriterConnection(self)))
        self._coming.addErrback(self._unreachable)

    def _unreachable(self, failure: Failure) -> None:
        self._coming = None
        if not self._running:
            return
        if not self._away:
            self._away = True
            self._logger.warn(
                "the log's writer cannot be reached ({reason}); trying on",
                reason=failure.getErrorMessage(),
            )
        self._come_again()

    def _come_again(self) -> None:
        pause = self._pause * (0.5 + self._random())
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._retry = self._reactor.callLater(pause, self._connect)

    def seconds(self) -> float:
        """The time, by the clock of the calls."""
        return self._reactor.seconds()

    def opened(self, connection: WriterConnection) -> None:
        """The writer was reached: say who this is."""
        if not self._running:
            connection.leave()
            return
        self._connection = connection
        connection.send(encode(Hello(self.name, self.head, list(map(data_of, self._topics)))))

    def other_version(self, version: int) -> None:
        """The writer speaks another version of the frames: an upgrade is under way."""
        if version != self._refused_by:
            self._refused_by, self._away = version, True
            self._logger.error(
                "the log's writer is of another release (its frames are of version {theirs}, and"
                " this worker's of {ours}): until both are of one, publishes are refused",
                theirs=version,
                ours=self.version,
            )
        self._outdated()

    def closed(self, connection: WriterConnection) -> None:
        """The way to the writer is gone."""
        if self._connection is not connection:
            return
        self._connection = None
        if self._running:
            if connection.welcomed and not self._away:
                self._away = True
                self._expected_until = self.seconds() + RESTART_SECONDS
                self._logger.warn("the log's writer has gone; waiting for the next")
            self._come_again()

    def told(self, connection: WriterConnection, frame: Told) -> None:
        """The writer says something.

        :raises ValueError: it cannot be.
        """
        if isinstance(frame, ReportFrame):
            if frame.before > self.head:
                raise ValueError("a report does not follow on the one before")
            topics = []
            for raw in frame.topics:
                one = topic_report_of(raw)
                topic = self._topics.get(text(one.key))
                # It may have been let go of since.
                if topic is not None:
                    topics.append(reported_of(one, topic))
            skipped = [key for key in map(text, frame.skipped) if key in self._topics]
            self._report(Report(frame.head, topics, skipped or ()))
        elif isinstance(frame, Welcome):
            self._greeted(connection, frame)
        else:
            self._answered(frame)

    def _answered(self, frame: Answer) -> None:
        call = self._calls.pop(frame.call, None)
        if call is None:
            return
        call.late.cancel()
        if isinstance(frame, Failed):
            call.answer.errback(Failure(StoreUnavailable()))
        else:
            call.answer.callback(frame)

    def _greeted(self, connection: WriterConnection, welcome: Welcome) -> None:
        self._refused_by = None
        if self._away:
            self._away = False
            self._logger.info("the log's writer is there again")
        self._pause = FIRST_PAUSE
        connection.welcomed = True
        # In the order in which they were made: a batch has its place.  Before the report, by which
        # others are made, which are sent at once.
        for call in list(self._calls.values()):
            connection.send(call.frame)
        if welcome.head > self.head:
            changed = [key for key in map(text, welcome.changed) if key in self._topics]
            self._report(Report(welcome.head, (), changed or ()))
        if self._info:
            self._renew()
        started, self._started = self._started, []
        for one, late in started:
            late.cancel()
            one.callback(None)

    def _report(self, report: Report) -> None:
        self.head = max(self.head, report.head)
        if self._follower is not None:
            self._follower.reported(report)
            self._follower.settled()

    def _not_followed(self, failure: Failure, key: str) -> Failure:
        self.unfollow(key)
        return failure
