"""Commands that run beside the server: the app's own server, a bundler.

Each is the head of a process group of its own, so that what it has started ends with it; and it
ends with the server, also with one that is killed.  Rule: their output is passed on line by line,
with their name before it.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread

import attrs

from takotwist.development import keeper

#: Seconds that a command has for its end.
END_SECONDS = keeper.END_SECONDS

#: Seconds for the last of its output, which what has left its process group keeps open.
OUTPUT_SECONDS = 1.0


@attrs.define(slots=True, eq=False)
class Kept:
    """The process groups that end with this process; see `keeper`."""

    _keeper: subprocess.Popen[str] | None = None

    def begun(self, group: int) -> None:
        """A group is there."""
        if self._keeper is None:
            # -I -S: it needs nothing of the project's, and starts sooner so.
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", keeper.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
                # Neither Ctrl-C nor the end of the terminal ends it before its time.
                start_new_session=True,
            )
        self._say(f"+{group}")

    def ended(self, group: int) -> None:
        """A group has been ended."""
        self._say(f"-{group}")

    def close(self) -> None:
        """There is nothing more to keep."""
        running, self._keeper = self._keeper, None
        if running is not None:
            with suppress(BrokenPipeError):
                running.communicate()

    def _say(self, line: str) -> None:
        if self._keeper is None or self._keeper.stdin is None:
            return
        # Somebody may have ended it.
        with suppress(BrokenPipeError):
            self._keeper.stdin.write(f"{line}\n")
            self._keeper.stdin.flush()


@attrs.define(slots=True, eq=False)
class Command:
    """One of them.

    :ivar line: as it is configured.
    :ivar say: takes a line of output, in any thread.
    :ivar kept: has it end with this process.
    """

    line: str
    folder: Path
    environ: Mapping[str, str]
    say: Callable[[str], object]
    kept: Kept
    _process: subprocess.Popen[str] | None = None
    _reading: Thread | None = None
    _stopping: bool = False

    @property
    def name(self) -> str:
        """Name for people: the program."""
        return Path(self.words[0]).name

    @property
    def words(self) -> Sequence[str]:
        """The words of the line, as a shell splits it."""
        return shlex.split(self.line)

    @property
    def running(self) -> bool:
        """True while it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it where it does not run; what hinders that is said."""
        if self.running:
            return
        # What one that has ended has left may be in the way of the next.
        self.stop()
        self._stopping = False
        # The environment of this Python first: `.venv/bin/tako` is called without activation too.
        beside = str(Path(sys.executable).parent)
        environ = {"PYTHONUNBUFFERED": "1", **self.environ}
        environ["PATH"] = os.pathsep.join([beside, environ.get("PATH", os.defpath)])
        try:
            self._process = subprocess.Popen(
                self.words,
                cwd=self.folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as failure:
            self.say(f"cannot be started: {failure.strerror}")
            return
        self.kept.begun(self._process.pid)
        self._reading = Thread(target=self._read, args=(self._process,), daemon=True)
        self._reading.start()

    def stop(self) -> None:
        """End it and all that it has started."""
        process, self._stopping = self._process, True
        if process is not None:
            self._signal(process, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)
            # What it has started may be slower than itself.
            self._signal(process, signal.SIGKILL)
            process.wait()
            self.kept.ended(process.pid)
        self._close()

    def _close(self) -> None:
        if self._reading is not None:
            self._reading.join(OUTPUT_SECONDS)
        self._process = self._reading = None

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.say(line.rstrip("\n"))
        code = process.wait()
        # Not where the end of its output was not waited for, and another one runs by now.
        if code and process is self._process and not self._stopping:
            self.say(f"ended with {code}; it is started again when a file changes")

    @staticmethod
    def _signal(process: subprocess.Popen[str], number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)


def start(running: Sequence[Command], over: bool) -> None:
    """Start those that do not run; `over`: and those that do.  That may take its time."""
    for one in running:
        if over:
            one.stop()
        one.start()


def commands(
    lines: Sequence[str],
    folder: Path,
    environ: Mapping[str, str],
    say: Callable[[str, str], object],
    kept: Kept,
) -> list[Command]:
    """A command for each line.

    :param say: takes the command's name and a line of its output, in any thread.
    """
    made: list[Command] = []
    for line in lines:
        command = Command(line, folder, environ, lambda text: None, kept)
        command.say = lambda text, name=command.name: say(name, text)  # type: ignore[misc]
        made.append(command)
    return made
