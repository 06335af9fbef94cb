"""Following of a log in PostgreSQL: a node hears of all that is stored, and reports it in order.

Each transaction that stores something notifies everybody of the range of ids that it covers and
of the rows of its topics.  A node takes the ranges one after the other, each where the one before
ends: it reads the messages of rows that it follows, in one query for all ranges that wait, and of
the others it only raises its head.  What it stored itself it has, and reports in its place.

A range that is missing is in the table of batches, which is also asked every few seconds and
after each new connection; so a notification that was lost costs time and no message.  Rule:
where even the table has it no more, all topics are reported as skipped, and their readers go on
from the log.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from psycopg.pq import PGnotify
from psycopg.pq.abc import PGresult
from twisted.internet.defer import Deferred, ensureDeferred, fail
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from takotwist.adapters.postgres.connection import Connection
from takotwist.adapters.postgres.engine import Engine
from takotwist.adapters.postgres.entries import Batch, Stored
from takotwist.adapters.postgres.errors import Trouble
from takotwist.adapters.postgres.link import Link
from takotwist.adapters.postgres.news import News
from takotwist.adapters.postgres.ranges import MAX_HEARD, HeardRanges, Range
from takotwist.adapters.postgres.topics import PAGE_TOPICS, FollowedTopics
from takotwist.adapters.postgres.values import int8, int8s, read_int8
from takotwist.core.log import ALL, Report, Reported
from takotwist.errors import StoreUnavailable
from takotwist.interfaces import IReactor
from takotwist.ports import ILogFollower

#: Seconds between two looks at the table of batches: what a lost last notification costs.
CHECK_SECONDS = 2.0

#: Batches, and messages and bytes of them, that one query brings.
PAGE_BATCHES, PAGE_MESSAGES, PAGE_BYTES = 512, 5000, 4 * 2**20


class Following:
    """See the module.

    :param readers: gives a connection for looking topics up.
    :ivar link: the connection that hears notifications.
    :ivar head: see `IReplayLog`.
    :ivar topics: those that are followed.
    """

    log = Logger()

    def __init__(
        self, reactor: IReactor, engine: Engine, readers: Callable[[], Link], node: str
    ) -> None:
        self.head = 0
        self.link = engine.link("read", listens=True, opened=self._opened)
        self._follower: ILogFollower | None = None
        self._outbox_name = engine.outbox_name.encode()
        self._outbox_grew: Callable[[], object] = lambda: None
        self._reactor = reactor
        self._engine = engine
        self.topics = FollowedTopics(reactor, engine, readers, node)
        self._heard = HeardRanges()
        #: The end of the newest range that was notified, which are in order.
        self._notified = 0
        self._behind = False
        #: Notifications that wait for the answer to an append of this node.
        self._held: list[str] = []
        self._appending = 0
        self._asking: list[Deferred[int]] = []
        self._working = False
        self._batches = engine.function("batches", 2)
        self._news = engine.function("news", 5)
        self._check = LoopingCall(self._look)
        self._check.clock = reactor

    def start(self, follower: ILogFollower | None) -> None:
        """Begin; where the store is found later, then with its head.

        :param follower: see `IReplayLog`; also in the place of the one before.
        """
        self._follower = follower
        if not self._check.running:
            self._check.start(CHECK_SECONDS, now=False)

    def begin_at(self, head: int) -> None:
        """Take `head` as the end of the past, where this node has no head yet.

        Else somebody may be live since the connection that hears was there, before the one that
        writes: what lies between is read, and reported to them.
        """
        if not self.head:
            self.head = self._notified = head
            # For who came with a cursor of another node, and waits for this one to know it.
            self._settle()
            return
        self._notified = max(self._notified, head)
        self._advance()

    def stop(self) -> None:
        """No more."""
        if self._check.running:
            self._check.stop()
        self._refuse()
        self.topics.stop()

    def on_outbox_growth(self, grew: Callable[[], object]) -> None:
        """See `IOutbox`."""
        self._outbox_grew = grew

    # ranges

    def appending(self, process: int) -> None:
        """An append of this node was sent; `stored` or `failed` follow.

        :param process: the engine's, by which its notification is known.  As often as not that
            comes before the answer, and would have what is stored read again.
        """
        self._appending = process

    def failed(self) -> None:
        """The append failed, and may be stored for all that."""
        self._appending = 0
        self._release()
        self._advance()

    def _release(self) -> None:
        held, self._held = self._held, []
        for payload in held:
            self._take(payload)

    def stored(self, stored: Stored, batch: Batch) -> None:
        """This node's own transaction has committed."""
        self._appending = 0
        unleased = []
        for key, row in stored.rows.items():
            one = self.topics.get(key)
            if one is not None and row:
                self.topics.place(one, row)
                if batch.lifecycles[key].inactivity_ttl_ms and not one.leased:
                    unleased.append(key)
        self.topics.lease(unleased)
        if stored.head > stored.prev:
            report = Report.of(stored.head, batch.digested, stored.appended)
            self._hear(stored.prev, Range(stored.head, own=report.topics))
        self._release()
        self._advance(own=stored.head)

    def newest(self) -> Deferred[int]:
        """See `IReplayLog`."""
        if self.link.connection is None:
            return fail(StoreUnavailable())
        answer: Deferred[int] = Deferred()
        self._asking.append(answer)
        self._work()
        return answer

    def replaced(self, head: int) -> None:
        """The engine is another run: what was before is not heard of any more."""
        self._heard.clear()
        self._behind = True
        self._work()

    def _opened(self, connection: Connection) -> None:
        connection.notified = self._notification
        self._behind = True
        self._work()

    def _look(self) -> None:
        # An answer that has not come by now may never come.
        self._release()
        self._behind = True
        self._advance()

    def _notification(self, notify: PGnotify) -> None:
        # Called by libpq's side: nothing may be raised into it.
        if notify.relname == self._outbox_name:
            self._reactor.callLater(0, self._outbox_grew)
            return
        payload = notify.extra.decode("ascii", "replace")
        if self._held or notify.be_pid == self._appending:
            self._held.append(payload)
            if len(self._held) < MAX_HEARD:
                return
            self._release()
        else:
            self._take(payload)
        self._advance()

    def _take(self, payload: str) -> None:
        # Whoever may connect to the database may notify.
        try:
            prev, head, touched = payload.split(" ", 2)
            if touched == "*":
                self._behind = True
            elif int(head) > self.head:
                self._hear(int(prev), Range.of(int(head), touched))
            self._notified = max(self._notified, int(head))
        except ValueError:
            self.log.failure("a notification could not be read")
            self._behind = True

    def _hear(self, prev: int, one: Range) -> None:
        if one.head <= self.head:
            return
        if not self._heard.hear(prev, one):
            self._behind = True

    def _advance(self, own: int = 0) -> None:
        """Report what is next for as long as nothing has to be read for it.

        :param own: the end of a range of this node's; its turn is ended by who appended.
        """
        if self._working:
            return
        reported = False
        while (one := self._heard.after(self.head)) is not None:
            if one.own is not None:
                self._heard.take(self.head)
                topics = [topic for topic in one.own if topic.key in self.topics]
                self._report(one.head, topics)
                reported = reported or one.head != own
            elif self.topics.touches(one):
                break
            else:
                self._heard.take(self.head)
                self._report(one.head, ())
                reported = True
        if reported:
            self._settle()
        if self._heard.after(self.head) is not None or self._behind or self._notified > self.head:
            self._work()

    def _report(
        self, head: int, topics: Sequence[Reported], skipped: Collection[str] | None = ()
    ) -> None:
        self.head = head
        self._engine.saw(head)
        if self._follower is not None:
            self._follower.reported(Report(head, topics, skipped))

    def _settle(self) -> None:
        if self._follower is not None:
            self._follower.settled()

    def _refuse(self) -> None:
        asking, self._asking = self._asking, []
        for one in asking:
            one.errback(StoreUnavailable())

    # reading

    def _work(self) -> None:
        """Read what has to be read, one query after the other."""
        if not self._working and self.link.connection is not None:
            self._working = True
            ensureDeferred(self._read_on()).addErrback(
                lambda failure: self.log.failure("following the replay log failed", failure)
            )

    async def _read_on(self) -> None:
        try:
            while (connection := self.link.connection) is not None:
                if self._heard.after(self.head) is not None:
                    await self._read_news(connection)
                elif self._behind or self._asking or self._notified > self.head:
                    await self._read_batches(connection)
                else:
                    break
        except Trouble as trouble:
            # The next look, or the next connection, goes on.
            self._engine.condition.failed("read", trouble)
        finally:
            self._working = False
            if self.link.connection is None:
                self._refuse()
        self._advance_again()

    def _advance_again(self) -> None:
        # What came in while the last answer was looked at.
        if self._heard.after(self.head) is not None and self.link.connection is not None:
            self._advance()

    async def _read_batches(self, connection: Connection) -> None:
        asking, self._asking = self._asking, []
        self._behind = False
        try:
            result = await connection.call(self._batches, [int8(self.head), int8(PAGE_BATCHES)])
            if result.get_value(0, 0) != b"\1":
                await self._engine.greet(connection)
                self._asking += asking
                asking = []
                return
        except Trouble:
            for one in asking:
                one.errback(StoreUnavailable())
            raise
        store_head = read_int8(result.get_value(0, 1))
        self._engine.condition.worked("read")
        for one in asking:
            one.callback(store_head)
        if store_head <= self.head:
            self._notified = self.head
            return
        self._notified = max(self._notified, store_head)
        # What was heard is in the table as well.
        self._heard.make_room(result.ntuples)
        for at in range(result.ntuples):
            if result.get_value(at, 3) is None:
                break
            prev = read_int8(result.get_value(at, 2))
            touched = (result.get_value(at, 4) or b"").decode("ascii")
            self._hear(prev, Range.of(read_int8(result.get_value(at, 3)), touched))
        if self._heard.after(self.head) is None:
            # It was away for longer than batches are kept, or the engine was replaced.
            await self._start_over(store_head)
        else:
            self._take_untouched()

    async def _start_over(self, head: int) -> None:
        """Give up on the range between: readers have it from the log, or are told that it is too
        old."""
        if not self.head:
            # Nothing lies between: the store is met for the first time.
            self.begin_at(head)
            return
        await self.topics.resolve_all()
        self._heard.begin_at(head)
        self._notified = max(self._notified, head)
        self._report(head, (), ALL)
        self._settle()

    def _take_untouched(self) -> None:
        reported = False
        while (one := self._heard.after(self.head)) is not None:
            if one.own is None and self.topics.touches(one):
                break
            self._heard.take(self.head)
            topics = [topic for topic in one.own or () if topic.key in self.topics]
            self._report(one.head, topics)
            reported = True
        if reported:
            self._settle()

    async def _read_news(self, connection: Connection) -> None:
        """The messages of the next ranges."""
        rows, to = self._heard.rows(self.head, self.topics.rows_of, PAGE_TOPICS)
        if to == self.head:
            self._take_untouched()
            return
        if not rows:
            self._heard.drop(self.head, to)
            self._report(to, ())
            self._settle()
            return
        result = await connection.call(
            self._news,
            [int8s(sorted(rows)), int8(self.head), int8(to), int8(PAGE_MESSAGES), int8(PAGE_BYTES)],
        )
        now, end = self._heard.rows(self.head, self.topics.rows_of, PAGE_TOPICS, to)
        if end == to and now <= rows:
            self._report_news(result, rows, to)
        # Else a topic was followed meanwhile, and from this head on: all of it once more.  Or the
        # ranges were forgotten: too many wait, or the engine was replaced.

    def _report_news(self, result: PGresult, rows: set[int], to: int) -> None:
        news = News.of(result, rows, self.head, self.topics)
        if news.messages and (news.messages < news.total or news.total == PAGE_MESSAGES):
            # The rest of the ranges is left for the next query.
            to = self._heard.split(self.head, news.last)
        else:
            self._heard.drop(self.head, to)
        self._report(to, news.reported(), tuple(news.skipped))
        self._settle()
        self.topics.lease(news.unleased)
