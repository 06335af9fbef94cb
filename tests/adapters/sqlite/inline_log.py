"""A log on a file of its own, with the SQL in the test's own thread."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.sqlite import SqliteReplayLog
from tests.adapters.sqlite.inline_pool import InlinePool
from tests.contracts.replay_log import NOW, SECOND


class InlineLogCase(SynchronousTestCase):
    """The log is started; its clock stands at `NOW`."""

    def setUp(self) -> None:
        clock = Clock()
        clock.advance(NOW / SECOND)
        self.path = self.mktemp()
        self.log = SqliteReplayLog(self.path, reactor=clock, make_pool=InlinePool)
        self.successResultOf(self.log.start())
        self.addCleanup(self.log.stop)
