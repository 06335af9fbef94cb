"""The log in PostgreSQL keeps the promises of every replay log."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.postgres import log
from takotwist.ports import ILogFollower
from tests.adapters.postgres.clocked import ClockedLog, World
from tests.adapters.postgres.pumped import PumpedReactor
from tests.contracts.replay_log import SECOND
from tests.contracts.replay_log_conditions import ConditionsContract
from tests.contracts.replay_log_keys import KeysContract
from tests.contracts.streamed_messages import StreamedMessagesContract


class _Settled(ClockedLog):
    """Has read what the store had by the time it has started.

    While it reads what others may have stored, a shared log reports nothing; after that, what it
    has stored itself in the turn of the answer, at which the contract looks.
    """

    def start(self, follower: ILogFollower | None = None) -> Deferred[None]:
        starting = super().start(follower)
        return starting.addCallback(lambda _: self.newest()).addCallback(lambda _: None)


class PostgresContract(
    KeysContract, ConditionsContract, StreamedMessagesContract, SynchronousTestCase
):
    """The contract, on a real engine whose clock is the test's."""

    def setUp(self) -> None:
        self.reactor = PumpedReactor()
        # A new log for each of hundreds of stories, whose price is its connections.
        self.patch(log, "READERS", 1)
        super().setUp()

    def make_log(self, clock: Clock) -> ClockedLog:
        world = World(int(clock.seconds() * SECOND), self.reactor)
        self.addCleanup(world.close)
        return _Settled(world)

    def make_again(self, log: ClockedLog, clock: Clock) -> ClockedLog:
        log.world.set_clock(int(clock.seconds() * SECOND))
        return _Settled(log.world)

    def later(self, seconds: float) -> None:
        super().later(seconds)
        assert isinstance(self.log, ClockedLog)
        self.log.world.set_clock(int(self.clock.seconds() * SECOND))

    def settle(self, answer: Deferred[Any]) -> None:
        """Answers come over a socket."""
        there: list[object] = []

        def come(result: Any) -> Any:
            there.append(None)
            return result

        answer.addBoth(come)
        self.reactor.until(lambda: there)

    def successResultOf(self, answer: Deferred[Any]) -> Any:
        self.settle(answer)
        return super().successResultOf(answer)

    def failureResultOf(self, answer: Deferred[Any], *expected: Any) -> Any:
        self.settle(answer)
        return super().failureResultOf(answer, *expected)
