"""Whether resuming at a cursor can be complete."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.log import Page
from takotwist.errors import CursorInvalid, ReplayTooOld


class TestJudge(SynchronousTestCase):
    """Too old exactly when a message with a greater id may be gone."""

    page = Page((), False, head=100, removed=50)

    def test_good(self) -> None:
        """Everything from the last removed id to the head can be resumed at."""
        for cursor in (50, 51, 100):
            self.page.judge(cursor)

    def test_too_old(self) -> None:
        """Below the last removed id something is missing."""
        self.assertRaises(ReplayTooOld, self.page.judge, 49)

    def test_everything(self) -> None:
        """0 is no cursor and never too old."""
        self.page.judge(0)

    def test_from_the_future(self) -> None:
        """An id that was never given out is no cursor."""
        self.assertRaises(CursorInvalid, self.page.judge, 101)
