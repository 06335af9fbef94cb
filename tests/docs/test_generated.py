"""The reference says what the program says of itself."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.generated import PAGES, metrics
from tests.docs.message_page import MOST_LINES, journey, lines
from tests.docs.page import DOCS


class TestGenerated(SynchronousTestCase):
    def test_pages(self) -> None:
        """Configuration, commands and errors are what their page says; else run
        ``python -m tests.docs.generated``."""
        for path, make in PAGES.items():
            self.assertEqual(path.read_text(), make(), path.name)

    def test_metrics(self) -> None:
        """The monitoring page has every metric with its type and its meaning."""
        self.assertIn(metrics(), (DOCS / "howto" / "monitoring.md").read_text())


class MessageTests(SynchronousTestCase):
    """What a newcomer is asked to read."""

    def test_short(self) -> None:
        """The functions that one message passes through are read in an hour."""
        self.assertLess(lines(journey()), MOST_LINES)
