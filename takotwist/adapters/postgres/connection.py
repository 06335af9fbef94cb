"""One connection to PostgreSQL, whose libpq reads and writes when the reactor says that it can.

psycopg's generators speak libpq's protocol and yield what they wait for; here the reactor waits
for it, with epoll and with asyncio alike.  (Its asynchronous connection needs asyncio's loop,
and a thread a call costs more than the call.)  They are the library's own and may change, so the
extra has a ceiling, and `tests/streams/seams/test_versions.py` knows them.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Sequence

import attrs
import psycopg
from psycopg import generators
from psycopg.pq import ExecStatus, PGnotify
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from takotwist.adapters.postgres.errors import Kind, Trouble, one_line
from takotwist.interfaces import IReactor

#: Seconds that the engine has for ending a statement by its own timeout, before the connection
#: is given up.
GRACE = 0.5

_GOOD = frozenset({ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK, ExecStatus.EMPTY_QUERY})


@attrs.frozen(slots=True, eq=False)
class Statement:
    """A statement, which a connection prepares when it first uses it.

    Parameters and columns are in PostgreSQL's binary form (`values`).

    :ivar name: unique among those of a connection.
    :ivar sql: with ``$1``, ``$2``...
    """

    name: bytes
    sql: bytes


@implementer(IReadWriteDescriptor)
class _Descriptor:
    """A file descriptor of libpq's, as the reactor wants to see it."""

    def __init__(self, number: int, ready: Callable[[Ready], None]) -> None:
        self._number = number
        self._ready = ready

    def fileno(self) -> int:
        return self._number

    def doRead(self) -> None:
        self._ready(Ready.R)

    def doWrite(self) -> None:
        self._ready(Ready.W)

    def connectionLost(self, reason: Failure) -> None:
        # The reactor saw an error or a hang-up: libpq shall find out which, and say so.
        self._ready(Ready.RW)

    def logPrefix(self) -> str:
        return "postgresql"


@attrs.define(slots=True, eq=False)
class _Task:
    """Something that the connection does."""

    begin: Callable[[], None]
    answer: Deferred[list[PGresult]]
    seconds: float | None


class Connection:
    """A connection that is open.

    Calls are done one after the other.  Rule: it fails for good or not at all; after it was
    lost every call fails, and `lost` was told once.

    :param timeout: seconds that a call may take.
    :param secret: the password.
    :ivar lost: called once with the trouble when it is lost, not after `close`.
    :ivar notified: called with each notification.
    """

    def __init__(self, reactor: IReactor, pgconn: PGconn, timeout: float, secret: str = "") -> None:
        self.pgconn = pgconn
        self.lost: Callable[[Trouble], object] = lambda _: None
        self.notified: Callable[[PGnotify], None] = lambda _: None
        self._reactor = reactor
        self._timeout = timeout
        self._secret = secret
        self._tasks: deque[_Task] = deque()
        self._running: Generator[Wait, Ready | None, list[PGresult]] | None = None
        self._timer: IDelayedCall | None = None
        self._writes = False
        self._trouble: Trouble | None = None
        self._prepared: set[bytes] = set()
        # A descriptor of our own: libpq closes its one within a call when it finds the connection
        # cut, and a reactor must be told before.
        self._number = os.dup(pgconn.socket)
        self._descriptor = _Descriptor(self._number, self._ready)
        pgconn.notify_handler = lambda notify: self.notified(notify)
        # From now on always: an idle connection hears notifications, and its end.
        reactor.addReader(self._descriptor)

    @property
    def usable(self) -> bool:
        """It was neither lost nor closed."""
        return self._trouble is None

    @property
    def busy(self) -> int:
        """Calls under way and waiting."""
        return len(self._tasks)

    def call(
        self,
        statement: Statement,
        parameters: Sequence[bytes | None] = (),
        timeout: float | None = None,
    ) -> Deferred[PGresult]:
        """Execute `statement`; its result.

        :raises Trouble: it failed, or the connection did.
        """
        refused: list[Failure] = []
        if statement.name not in self._prepared:
            # Known as prepared only when it is.
            preparing = self._do(
                lambda: self.pgconn.send_prepare(statement.name, statement.sql), timeout
            )
            preparing.addCallbacks(lambda _: self._prepared.add(statement.name), refused.append)
        formats = [1] * len(parameters)
        done = self._do(
            lambda: self.pgconn.send_query_prepared(
                statement.name, parameters, formats, result_format=1
            ),
            timeout,
        )
        # Why it could not be prepared says more than that it is not.
        return done.addCallbacks(
            lambda results: results[-1], lambda failure: refused[0] if refused else failure
        )

    def script(self, sql: str, timeout: float | None = None) -> Deferred[list[PGresult]]:
        """Execute statements in one go: in one transaction, where they begin none themselves."""
        return self._do(lambda: self.pgconn.send_query(sql.encode()), timeout)

    def close(self) -> None:
        """Close it; what is under way fails."""
        self._end(Trouble(Kind.STOPPED, "the connection was closed"))

    # running

    def _do(self, begin: Callable[[], None], timeout: float | None) -> Deferred[list[PGresult]]:
        if self._trouble is not None:
            return fail(self._trouble)
        task = _Task(begin, Deferred(), self._timeout if timeout is None else timeout)
        self._tasks.append(task)
        if len(self._tasks) == 1:
            self._begin()
        return task.answer

    def _begin(self) -> None:
        task = self._tasks[0]
        try:
            task.begin()
            self._running = generators.execute(self.pgconn)
        except psycopg.Error as error:
            self._end(self._trouble_of(error))
            return
        if task.seconds is not None:
            self._timer = self._reactor.callLater(task.seconds + GRACE, self._too_slow)
        self._step(None)

    def _ready(self, ready: Ready) -> None:
        if self._trouble is not None:
            return
        if self._running is not None:
            self._step(ready)
            return
        try:
            self.pgconn.consume_input()
            while (notify := self.pgconn.notifies()) is not None:
                self.notified(notify)
        except psycopg.Error as error:
            self._end(self._trouble_of(error))

    def _step(self, ready: Ready | None) -> None:
        assert self._running is not None
        try:
            wait = self._running.send(ready)
        except StopIteration as stop:
            self._finished(stop.value)
        except psycopg.Error as error:
            self._end(self._trouble_of(error))
        else:
            self._want_to_write(bool(wait & Wait.W))

    def _finished(self, results: list[PGresult]) -> None:
        self._running = None
        self._want_to_write(False)
        self._cancel_timer()
        task = self._tasks.popleft()
        bad = [result for result in results if result.status not in _GOOD]
        if self.pgconn.status != 0:
            # Ended by the engine: nothing more comes.
            trouble = self._trouble_of_result(bad[0]) if bad else None
            self._tasks.appendleft(task)
            cut = Trouble(Kind.UNREACHABLE, "the connection was cut", executed=True)
            self._end(trouble or cut)
            return
        if self._tasks:
            self._begin()
        if bad:
            task.answer.errback(self._trouble_of_result(bad[0]))
        else:
            task.answer.callback(results)

    def _trouble_of_result(self, result: PGresult) -> Trouble:
        return Trouble.of(psycopg.errors.error_from_result(result), self._secret)

    def _trouble_of(self, error: psycopg.Error) -> Trouble:
        trouble = Trouble.of(error, self._secret)
        trouble.executed = True
        return trouble

    def _too_slow(self) -> None:
        self._timer = None
        self._end(Trouble(Kind.SLOW, "no answer in time", executed=True))

    def _want_to_write(self, wanted: bool) -> None:
        if wanted is self._writes or self._trouble is not None:
            return
        self._writes = wanted
        if wanted:
            self._reactor.addWriter(self._descriptor)
        else:
            self._reactor.removeWriter(self._descriptor)

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _end(self, trouble: Trouble) -> None:
        if self._trouble is not None:
            return
        self._trouble = trouble
        self._cancel_timer()
        self._reactor.removeReader(self._descriptor)
        self._reactor.removeWriter(self._descriptor)
        os.close(self._number)
        running, self._running = self._running, None
        if running is not None:
            running.close()
        self.pgconn.notify_handler = None
        self.pgconn.finish()
        tasks, self._tasks = self._tasks, deque()
        lost, self.lost = self.lost, lambda _: None
        lost(trouble)
        for at, task in enumerate(tasks):
            # What had not been sent was not executed.
            executed = trouble.executed and at == 0
            said = Trouble(trouble.kind, trouble.detail, code=trouble.code, executed=executed)
            task.answer.errback(said)


class _Opening:
    """A connection under way to one address."""

    def __init__(self, reactor: IReactor, string: str, timeout: float, secret: str) -> None:
        self.answer: Deferred[PGconn] = Deferred(lambda _: self._stop())
        self._reactor = reactor
        self._secret = secret
        self._descriptor: _Descriptor | None = None
        self._timer = reactor.callLater(timeout, self._too_slow)
        self._connecting = generators.connect(string)
        self._ready(None)

    def _ready(self, ready: Ready | None) -> None:
        # libpq may go on with another socket, and closes the first one without a word.
        self._forget()
        try:
            number, wait = self._connecting.send(ready)
        except StopIteration as stop:
            self._timer.cancel()
            self.answer.callback(stop.value)
        except psycopg.Error as error:
            self._timer.cancel()
            self.answer.errback(Trouble.of(error, self._secret))
        else:
            self._descriptor = _Descriptor(number, self._ready)
            if wait & Wait.R:
                self._reactor.addReader(self._descriptor)
            if wait & Wait.W:
                self._reactor.addWriter(self._descriptor)

    def _forget(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._reactor.removeReader(descriptor)
            self._reactor.removeWriter(descriptor)

    def _stop(self) -> None:
        self._forget()
        self._connecting.close()
        if self._timer.active():
            self._timer.cancel()

    def _too_slow(self) -> None:
        self._stop()
        self.answer.errback(Trouble(Kind.UNREACHABLE, "no connection in time"))


def open_connection(
    reactor: IReactor,
    string: str,
    *,
    connect_timeout: float,
    timeout: float,
    secret: str = "",
) -> Deferred[Connection]:
    """Connect to one address.

    :param string: of libpq.
    :raises Trouble: it could not be reached, or does not let us in.
    """
    try:
        opening = _Opening(reactor, string, connect_timeout, secret)
    except psycopg.Error as error:
        return fail(Trouble(Kind.UNREACHABLE, one_line(str(error), secret)))
    return opening.answer.addCallback(lambda pgconn: Connection(reactor, pgconn, timeout, secret))
