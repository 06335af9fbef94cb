"""A worker's log, over a writer that it shares with another, keeps the promises of every log."""

from __future__ import annotations

from collections.abc import Collection

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.shared.worker_log import WorkerLog
from takotwist.adapters.sqlite import SqliteReplayLog
from takotwist.core.log import Append, Appended
from tests.adapters.shared.pump import Writer
from tests.adapters.sqlite.inline_pool import InlinePool
from tests.contracts.replay_log import NOW, SECOND
from tests.contracts.replay_log_conditions import ConditionsContract
from tests.contracts.replay_log_keys import KeysContract
from tests.contracts.streamed_messages import StreamedMessagesContract


class _Swept(WorkerLog):
    """Has the writer sweep when it is asked to, as the writer's own timer does."""

    writer: Writer

    def sweep(self, now_us: int, in_use: Collection[str]) -> Deferred[bool]:
        doing = super().sweep(now_us, in_use)
        if self.writer.endpoint.host is None:
            return doing
        used = self.writer.endpoint.host.in_use().union(in_use)
        return doing.addCallback(lambda _: self.writer.log.sweep(now_us, used))


class WorkerContract(
    KeysContract, ConditionsContract, StreamedMessagesContract, SynchronousTestCase
):
    """The contract."""

    def make_log(self, clock: Clock) -> WorkerLog:
        path = self.mktemp()

        def make() -> SqliteReplayLog:
            return SqliteReplayLog(path, reactor=clock, make_pool=InlinePool)

        self.writer = Writer(make, clock, worker=_Swept)
        self.writer.start()
        self.addCleanup(self.writer.kill)
        self.successResultOf(self.writer.worker().start())
        return self.worker()

    def worker(self) -> WorkerLog:
        worker = self.writer.worker()
        assert isinstance(worker, _Swept)
        worker.writer = self.writer
        return worker

    def make_again(self, log: WorkerLog, clock: Clock) -> WorkerLog:
        self.successResultOf(self.writer.log.stop())
        self.writer.kill()
        self.writer.start()
        return self.worker()

    def append(self, *entries: Append, at: int = NOW + 1) -> list[Appended]:
        # The time is the writer's own.
        self.clock.rightNow = at / SECOND
        return super().append(*entries, at=at)
