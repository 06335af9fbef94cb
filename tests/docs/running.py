"""A server that a page describes, running in a folder of its own.

Rule: commands are those of the page; only ports are exchanged for free ones.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import TypeVar

from tests.docs.page import write_project
from tests.sockets.server_process import free_port

T = TypeVar("T")


def eventually(question: Callable[[], T], what: str, seconds: float = 120) -> T:
    """The first true answer to `question`.

    :raises AssertionError: there was none in time.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := question():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"did not happen in {seconds} s: {what}")


class Running:
    """The project of a page, and processes in its folder.

    :ivar port: what stands in for 8080.
    """

    def __init__(self, page: Path | None = None, **environment: str) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="tako")
        self.folder = Path(self._temporary.name)
        self.port = free_port()
        self._processes: list[subprocess.Popen[bytes]] = []
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(self.folder),
            "XDG_DATA_HOME": str(self.folder / "data"),
            "TAKO_HTTP_LISTEN": f"tcp:{self.port}:interface=127.0.0.1",
            **environment,
        }
        if page is not None:
            write_project(page, self.folder)

    def enter(self, name: str) -> None:
        """Go on in a folder of the folder, as ``cd`` does."""
        self.folder /= name
        self.environment["PYTHONPATH"] = str(self.folder)

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def ours(self, command: str) -> str:
        """A command of the page, with our ports."""
        return command.replace("localhost:8080", f"127.0.0.1:{self.port}")

    def run(self, command: str, check: bool = True) -> str:
        """Run a command of the page to its end; what it printed."""
        done = subprocess.run(
            ["sh", "-ec", self.ours(command)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if check:
            assert done.returncode == 0, (
                f"{command}: {done.stdout}{done.stderr}\n{self.said('log')}"
            )
        return done.stdout

    def start(
        self, command: str, name: str, *, errors_too: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start a command of the page; its output goes to the file `name`."""
        with (self.folder / name).open("ab") as output:
            process = subprocess.Popen(
                ["sh", "-ec", self.ours(command)],
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT if errors_too else subprocess.DEVNULL,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def said(self, name: str) -> str:
        """What a started command has printed so far."""
        path = self.folder / name
        # What is being written may end within a character.
        return path.read_text(errors="replace") if path.exists() else ""

    def serve(self, command: str = "tako serve") -> subprocess.Popen[bytes]:
        """Start the server and wait until it is ready."""
        process = self.start(command, "log", errors_too=True)

        def ready() -> bool:
            assert process.poll() is None, self.said("log")
            try:
                connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/_tako/health")
                status = connection.getresponse().status
                connection.close()
            except OSError:
                return False
            return status == 200

        eventually(ready, "the server is ready")
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Stop one process and all that it started."""
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
        self._processes.remove(process)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill one process and all that it started, such as the program behind a shell."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
        self._processes.remove(process)

    def close(self) -> None:
        """Stop everything and remove the folder."""
        for process in list(self._processes):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)
        self._temporary.cleanup()
