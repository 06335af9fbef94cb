"""The log in memory keeps the promises of every replay log."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.memory import InMemoryReplayLog
from tests.contracts.replay_log import ReplayLogContract


class MemoryContract(ReplayLogContract, SynchronousTestCase):
    """The contract."""

    def make_log(self, clock: Clock) -> InMemoryReplayLog:
        return InMemoryReplayLog(clock)

    def make_again(self, log: InMemoryReplayLog, clock: Clock) -> InMemoryReplayLog:
        return log
