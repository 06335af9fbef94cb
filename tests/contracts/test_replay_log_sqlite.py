"""The log in a SQLite file keeps the promises of every replay log."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.sqlite import SqliteReplayLog
from tests.adapters.sqlite.inline_pool import InlinePool
from tests.contracts.replay_log_conditions import ConditionsContract
from tests.contracts.replay_log_keys import KeysContract
from tests.contracts.streamed_messages import StreamedMessagesContract


class SqliteContract(
    KeysContract, ConditionsContract, StreamedMessagesContract, SynchronousTestCase
):
    """The contract, on a real file, with the SQL in the test's own thread."""

    def make_log(self, clock: Clock) -> SqliteReplayLog:
        self.path = self.mktemp()
        return self.make_again(None, clock)

    def make_again(self, log: SqliteReplayLog | None, clock: Clock) -> SqliteReplayLog:
        return SqliteReplayLog(self.path, reactor=clock, make_pool=InlinePool)


class DurableSqliteContract(SqliteContract):
    """The contract with every commit forced to the disk."""

    def make_again(self, log: SqliteReplayLog | None, clock: Clock) -> SqliteReplayLog:
        return SqliteReplayLog(self.path, reactor=clock, durability="power", make_pool=InlinePool)
