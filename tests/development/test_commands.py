"""Commands beside the server, as real processes."""

from __future__ import annotations

import os
from pathlib import Path
from queue import Queue

from twisted.trial.unittest import SynchronousTestCase

from takotwist.development import commands as module
from takotwist.development.commands import Command, commands


class CommandTests(SynchronousTestCase):
    """What is run, what is told of it, and how it ends."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.said: Queue[tuple[str, str]] = Queue()

    def run_line(self, line: str, **environ: str) -> Command:
        """Start a command; it ends with the test."""
        [command] = commands(
            [line],
            self.folder,
            {"PATH": os.environ["PATH"], **environ},
            lambda name, text: self.said.put((name, text)),
        )
        self.addCleanup(command.stop)
        command.start()
        return command

    def next(self) -> tuple[str, str]:
        """The next line that is said."""
        return self.said.get(timeout=20)

    def test_output(self) -> None:
        """Each line comes with the program's name, from the project's folder and environment."""
        command = self.run_line("""sh -c 'echo "$PWD $WHO"; echo oh >&2'""", WHO="me")
        self.assertEqual(self.next(), ("sh", f"{self.folder} me"))
        self.assertEqual(self.next(), ("sh", "oh"))
        self.assertEqual(command.name, "sh")

    def test_ended(self) -> None:
        """One that fails says so, and can be started again."""
        command = self.run_line("sh -c 'exit 3'")
        self.assertEqual(
            self.next(), ("sh", "ended with 3; it is started again when a file changes")
        )
        self.assertFalse(command.running)
        command.start()
        self.assertIn("ended with 3", self.next()[1])

    def test_running_is_not_started_again(self) -> None:
        """One that runs goes on as the process that it is."""
        command = self.run_line("sh -c 'echo $$; exec sleep 1000'")
        self.next()
        command.start()
        self.assertTrue(command.running)
        self.assertTrue(self.said.empty())

    def test_all_that_it_started(self) -> None:
        """What a command has started ends with it, and without a word."""
        command = self.run_line("sh -c 'sleep 1000 & echo $!; wait'")
        child = int(self.next()[1])
        command.stop()
        self.assertFalse(command.running)
        self.assertTrue(self.said.empty())
        # Whose parent has gone is taken up by another, which may not have looked yet.
        try:
            status = Path(f"/proc/{child}/status").read_text()
        except OSError:
            return
        self.assertIn("State:\tZ", status)

    def test_stubborn(self) -> None:
        """One that does not want to end is killed."""
        self.patch(module, "END_SECONDS", 0.1)
        command = self.run_line("sh -c 'trap \"\" TERM; echo up; while :; do sleep 0.05; done'")
        self.next()
        command.stop()
        self.assertFalse(command.running)

    def test_missing(self) -> None:
        """A program that is not there is said, and hinders nothing."""
        command = self.run_line("no-such-program --flag")
        self.assertEqual(
            self.next(), ("no-such-program", "cannot be started: No such file or directory")
        )
        self.assertFalse(command.running)
        command.stop()
