"""The log in memory, alone and as one of several nodes, keeps the promises of every log."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.memory import InMemoryReplayLog
from takotwist.adapters.memory.node import MemoryNode, MemoryStore
from tests.contracts.replay_log_conditions import ConditionsContract
from tests.contracts.replay_log_keys import KeysContract
from tests.contracts.streamed_messages import StreamedMessagesContract


class MemoryContract(
    KeysContract, ConditionsContract, StreamedMessagesContract, SynchronousTestCase
):
    """The contract."""

    def make_log(self, clock: Clock) -> InMemoryReplayLog:
        return InMemoryReplayLog(clock)

    def make_again(self, log: InMemoryReplayLog, clock: Clock) -> InMemoryReplayLog:
        return log


class NodeContract(KeysContract, ConditionsContract, StreamedMessagesContract, SynchronousTestCase):
    """The contract, of a node on a store that it shares."""

    def make_log(self, clock: Clock) -> MemoryNode:
        inner = InMemoryReplayLog(clock)
        self.successResultOf(inner.start())
        store = MemoryStore(inner)
        self.successResultOf(MemoryNode(store, "other").start())
        return MemoryNode(store, "this")

    def make_again(self, log: MemoryNode, clock: Clock) -> MemoryNode:
        self.successResultOf(log.store.log.start())
        # A node that is started again is another: it counts its batches from 1.
        return MemoryNode(log.store, f"{log.name}, again")
