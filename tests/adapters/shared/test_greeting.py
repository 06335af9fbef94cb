"""What a worker asks when its writer is there again."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from takotwist.adapters.shared.frames import Newest, Read
from takotwist.adapters.shared.worker_log import WorkerLog
from takotwist.core.log import Report
from tests.adapters.shared.test_worker_log import WorkersCase
from tests.contracts.replay_log import LOBBY, Listener, entry


class Reading(Listener):
    """Reads what was skipped at once, as those do who wait for it."""

    def __init__(self, worker: WorkerLog) -> None:
        super().__init__(worker)
        self._worker = worker
        self.pages: list[Deferred[Any]] = []

    def reported(self, report: Report) -> None:
        super().reported(report)
        self.pages += [self._worker.read(LOBBY, 0, 10, 1000) for _ in report.skipped or ()]


class GreetingTests(WorkersCase):
    """After a cut."""

    def test_each_call_once(self) -> None:
        """A call is made once, in its order: also one that the greeting itself brings about."""
        worker, other = self.writer.worker(), self.writer.worker()
        reading = Reading(worker)
        self.successResultOf(worker.start(reading))
        self.started(other)
        self.successResultOf(worker.follow(LOBBY))
        way: Any = worker._endpoint
        way.wires[0].cut()
        self.successResultOf(other.append([entry(LOBBY, "a")], 0))
        newest = worker.newest()
        asked: list[object] = []
        taking = self.writer.endpoint.host.buildProtocol

        def noting(address: object) -> Any:
            connection = taking(address)
            take = connection._take
            connection._take = lambda frame: (asked.append(frame), take(frame))
            return connection

        self.patch(self.writer.endpoint.host, "buildProtocol", noting)
        self.later()
        self.assertEqual(self.successResultOf(newest), other.head)
        [page] = map(self.successResultOf, reading.pages)
        self.assertEqual([one.data for one in page.messages], [b'"a"'])
        self.assertEqual([type(one) for one in asked[1:]], [Newest, Read])
