"""A word while a command takes longer than a second."""

from __future__ import annotations

import io
from threading import Event

from twisted.trial.unittest import SynchronousTestCase

from takotwist.cli import progress as module
from takotwist.cli.progress import progress


class Screen(io.StringIO):
    """A terminal or a file that says when so many words have come."""

    def __init__(self, terminal: bool, words: int) -> None:
        super().__init__()
        self._terminal, self._words = terminal, words
        self.enough = Event()

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        self._words -= "..." in text
        if self._words <= 0:
            self.enough.set()
        return super().write(text)


class ProgressTests(SynchronousTestCase):
    """Seconds are none here, but for who is quick."""

    def said(self, terminal: bool) -> str:
        """What is said of something that takes three words."""
        for name in ("PATIENCE", "EVERY", "EVERY_LINE"):
            self.patch(module, name, 0.0)
        screen = Screen(terminal, 3)
        with progress("looking through x", screen):
            self.assertTrue(screen.enough.wait(20))
        return screen.getvalue()

    def test_quick(self) -> None:
        """What ends at once has nothing said of it."""
        # However long a busy machine takes over nothing.
        self.patch(module, "PATIENCE", 60.0)
        screen = Screen(True, 1)
        with progress("looking through x", screen):
            pass
        self.assertEqual(screen.getvalue(), "")

    def test_terminal(self) -> None:
        """Each word takes the place of the one before, and the last one goes."""
        said = self.said(terminal=True)
        self.assertTrue(said.startswith("\r\033[Klooking through x ... 0 s"), said)
        self.assertTrue(said.endswith("\r\033[K"), said)
        self.assertNotIn("\n", said)

    def test_file(self) -> None:
        """Where it is no terminal, words are lines."""
        first, *_ = self.said(terminal=False).splitlines()
        self.assertEqual(first, "looking through x ... 0 s")

    def test_failure(self) -> None:
        """A block that fails ends the words, and its error goes on."""
        self.patch(module, "PATIENCE", 60.0)
        screen = Screen(False, 1)
        with self.assertRaises(ZeroDivisionError), progress("x", screen):
            1 / 0
        self.assertEqual(screen.getvalue(), "")
