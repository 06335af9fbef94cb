"""A connection that is made again when it was lost.

Rule: who asks for it while it is being made waits, up to its own deadline; once a try has failed
nobody waits, so that a queue of publishes behind an engine that is away is refused at once and
not one batch after the other.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.adapters.postgres.connection import Connection
from takotwist.adapters.postgres.errors import Kind, Trouble
from takotwist.interfaces import IReactor

#: Seconds before the first try after a loss, at most: all nodes lose an engine in one moment.
FIRST = 0.2

#: And before the later ones: twice as long each time, up to this.
LONGEST = 5.0


class Link:
    """See the module.

    :param dial: makes a connection, ready for use.
    :param random: from 0 to 1.
    :param failed: called with the trouble of each try that failed and of each loss.
    :param opened: called with each new connection, before those who wait get it.
    """

    log = Logger()

    def __init__(
        self,
        reactor: IReactor,
        dial: Callable[[], Deferred[Connection]],
        random: Callable[[], float],
        failed: Callable[[Trouble], object],
        opened: Callable[[Connection], object] = lambda _: None,
    ) -> None:
        self._tell_failed = failed
        self._tell_opened = opened
        self._reactor = reactor
        self._dial = dial
        self._random = random
        self._connection: Connection | None = None
        self._waiting: list[Deferred[Connection]] = []
        self._away: Trouble | None = None
        self._tries = 0
        self._timer: IDelayedCall | None = None
        self._dialing: Deferred[None] | None = None
        self._running = False

    @property
    def connection(self) -> Connection | None:
        """The one that is open."""
        connection = self._connection
        return connection if connection is not None and connection.usable else None

    @property
    def away(self) -> bool:
        """`True` where a use of it is refused at once."""
        return self.connection is None and (self._away is not None or not self._running)

    def start(self) -> None:
        """Connect, and keep connected."""
        self._running = True
        self._away, self._tries = None, 0
        self._try()

    def stop(self) -> None:
        """Close it, for good."""
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._dialing is not None:
            self._dialing.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.lost = lambda _: None
            connection.close()
        self._refuse(Trouble(Kind.STOPPED, "the log was stopped"))

    def use(self, seconds: float) -> Deferred[Connection]:
        """The connection, once it is open.

        :param seconds: to wait for one that is being made.
        :raises Trouble: there is none.
        """
        connection = self.connection
        if connection is not None:
            return succeed(connection)
        if not self._running:
            return fail(Trouble(Kind.STOPPED, "the log is not started"))
        if self._away is not None:
            return fail(Trouble(self._away.kind, self._away.detail))
        waiting: Deferred[Connection] = Deferred()
        self._waiting.append(waiting)
        timer = self._reactor.callLater(seconds, self._give_up, waiting)

        def settled(result: object) -> object:
            if timer.active():
                timer.cancel()
            return result

        return waiting.addBoth(settled)

    def _give_up(self, waiting: Deferred[Connection]) -> None:
        self._waiting.remove(waiting)
        waiting.errback(Trouble(Kind.UNREACHABLE, "no connection in time"))

    def _refuse(self, trouble: Trouble) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.errback(Trouble(trouble.kind, trouble.detail))

    def _try(self) -> None:
        self._timer = None
        dialing = self._dial()
        done = dialing.addCallbacks(self._opened, self._failed)
        done.addErrback(lambda failure: self.log.failure("connecting failed", failure))
        self._dialing = None if done.called else done
        done.addBoth(self._dialed)

    def _dialed(self, result: object) -> None:
        self._dialing = None

    def _opened(self, connection: Connection) -> None:
        if not self._running:
            connection.close()
            return
        self._connection = connection
        self._away, self._tries = None, 0
        connection.lost = self._lost
        self._tell_opened(connection)
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(connection)

    def _failed(self, failure: Failure) -> None:
        if not self._running:
            return
        trouble = failure.value
        if not isinstance(trouble, Trouble):
            self.log.failure("connecting to the replay log failed", failure)
            trouble = Trouble(Kind.FAILED, type(failure.value).__name__)
        self._away = trouble
        self._again()
        self._tell_failed(trouble)
        self._refuse(trouble)

    def _lost(self, trouble: Trouble) -> None:
        self._connection = None
        if self._running:
            self._again()
            self._tell_failed(trouble)

    def _again(self) -> None:
        # Doubled, and anywhere in its later half: spread in time over the nodes.
        longest = min(LONGEST, FIRST * 2**self._tries)
        delay = longest * (self._random() if not self._tries else 0.5 + self._random() / 2)
        self._tries = min(self._tries + 1, 30)
        self._timer = self._reactor.callLater(delay, self._try)
