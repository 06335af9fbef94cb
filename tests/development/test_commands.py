"""Commands beside the server, as real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from queue import Queue

from twisted.trial.unittest import SynchronousTestCase

from takotwist.development import commands as module
from takotwist.development.commands import Command, Kept, commands, start
from takotwist.development.keeper import keep
from tests.sockets.server_process import wait_until

#: A program that has commands beside it, and says its lines.
PROGRAM = """
import os, sys, time
from pathlib import Path
from takotwist.development.commands import Kept, commands
lines = sys.argv[1:]
made = commands(lines, Path.cwd(), os.environ, lambda name, text: print(text, flush=True), Kept())
for one in made:
    one.start()
time.sleep(1000)
"""


def runs(pid: int) -> bool:
    """Whether there is this process; one that nobody has waited for yet has ended."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


class CommandTests(SynchronousTestCase):
    """What is run, what is told of it, and how it ends."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.said: Queue[tuple[str, str]] = Queue()
        self.kept = Kept()
        self.addCleanup(self.kept.close)

    def run_line(self, line: str, **environ: str) -> Command:
        """Start a command; it ends with the test."""
        [command] = commands(
            [line],
            self.folder,
            {"PATH": os.environ["PATH"], **environ},
            lambda name, text: self.said.put((name, text)),
            self.kept,
        )
        self.addCleanup(command.stop)
        command.start()
        return command

    def next(self) -> tuple[str, str]:
        """The next line that is said."""
        return self.said.get(timeout=60)

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
        """One that runs goes on as the process that it is, unless it is to start over."""
        command = self.run_line("sh -c 'echo $$; exec sleep 1000'")
        _, first = self.next()
        start([command], over=False)
        self.assertTrue(command.running)
        self.assertTrue(self.said.empty())
        start([command], over=True)
        _, second = self.next()
        self.assertNotEqual(first, second)
        self.assertFalse(runs(int(first)))

    def test_all_that_it_started(self) -> None:
        """What a command has started ends with it, and without a word."""
        command = self.run_line("sh -c 'sleep 1000 & echo $!; wait'")
        child = int(self.next()[1])
        command.stop()
        self.assertFalse(command.running)
        self.assertTrue(self.said.empty())
        # It was killed; that it has ended the kernel tells nobody but its parent.
        wait_until(lambda: not runs(child), f"the end of {child}")

    def test_output_that_stays_open(self) -> None:
        """What has left the group keeps the output open: its end is not waited for, and is not
        taken for an end of the command that runs by then."""
        self.patch(module, "OUTPUT_SECONDS", 0.05)
        command = self.run_line("sh -c 'setsid sh -c \"echo \\$\\$; exec sleep 1000\" & wait'")
        first = int(self.next()[1])
        reading = command._reading
        assert reading is not None
        command.stop()
        self.assertTrue(reading.is_alive())
        command.start()
        self.addCleanup(os.kill, int(self.next()[1]), signal.SIGKILL)
        os.kill(first, signal.SIGKILL)
        reading.join(60)
        self.assertFalse(reading.is_alive())
        self.assertTrue(command.running)
        self.assertTrue(self.said.empty())

    def test_killed(self) -> None:
        """Whoever had them is killed: commands end, and what they have started, the stubborn too;
        but not one that had been ended before."""
        lines = ["sh -c 'sleep 1000 & echo $$ $!; wait'"] * 2
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *lines], stdout=subprocess.PIPE, text=True
        ) as program:
            assert program.stdout is not None
            pids = [int(pid) for _ in lines for pid in program.stdout.readline().split()]
            self.assertTrue(all(map(runs, pids)))
            program.kill()
            wait_until(lambda: not any(map(runs, pids)), f"the end of {pids}")

    def test_kept(self) -> None:
        """The keeper ends the groups that are left to it, and no other."""
        line = "trap '' TERM; echo up; while :; do sleep 0.05; done"
        groups = [
            subprocess.Popen(["sh", "-c", line], stdout=subprocess.PIPE, start_new_session=True)
            for _ in range(2)
        ]
        for one in groups:
            assert one.stdout is not None
            self.addCleanup(one.stdout.close)
            self.addCleanup(one.wait)
            self.addCleanup(one.kill)
            one.stdout.readline()
        first, second = (one.pid for one in groups)
        keep([f"+{first}\n", f"+{second}\n", f"-{first}\n"], 0.1)
        self.assertEqual(groups[1].wait(60), -signal.SIGKILL)
        self.assertIsNone(groups[0].poll())

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
