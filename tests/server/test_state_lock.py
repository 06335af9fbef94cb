"""One server for one replay log."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import ConfigError
from takotwist.server.state_lock import lock_log, sign_lock


class TestLock(SynchronousTestCase):
    """The second one does not start."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()

    def test_second(self) -> None:
        """It is told who has the log, and what to do."""
        first = lock_log(self.path)
        sign_lock(first)
        wrong = self.assertRaises(ConfigError, lock_log, self.path)
        self.assertIn(f"process {os.getpid()}", wrong.reason)
        self.assertIn("state_dir", wrong.reason)
        first.close()

    def test_after_the_first(self) -> None:
        """When the first has gone the log is free, and what it wrote down does not matter."""
        first = lock_log(self.path)
        sign_lock(first)
        first.close()
        lock_log(self.path).close()

    def test_no_folder(self) -> None:
        """A lock that cannot be made is named."""
        wrong = self.assertRaises(ConfigError, lock_log, Path("/nonexistent/replay.sqlite"))
        self.assertIn("/nonexistent/replay.sqlite.lock", wrong.reason)
