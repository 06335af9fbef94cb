"""`tests.sockets.supervised` in processes of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import takotwist
from tests.sockets.server_process import ServerProcess

ROOT = Path(takotwist.__file__).parents[1]

#: The variable that names the file of `SupervisedServer.failing`.
FAILING = "TESTS_FAILING"


class SupervisedServer(ServerProcess):
    """`ServerProcess` with several workers.

    :param twistd: flags of twistd's own.
    :param writer: whether there is a process more, which the workers need.
    :ivar failing: while this file is there, workers that start end with its text as exit code.
    """

    def __init__(
        self,
        *,
        workers: int = 2,
        twistd: Sequence[str] = (),
        writer: bool = False,
        **options: Any,
    ) -> None:
        self._twistd, self._writer = twistd, writer
        arguments = (*options.pop("arguments", ()), "--workers", str(workers))
        super().__init__(arguments=arguments, **options)
        self.count = workers
        self.failing = self.folder / "failing"

    @property
    def command(self) -> list[str]:
        """How it is started."""
        program, *rest = super().command
        named = [Path(program).name, *self._twistd] if program.endswith("twistd") else []
        return [sys.executable, "-m", "tests.sockets.supervised", *named, *rest]

    def start(self, **options: Any) -> SupervisedServer:  # type: ignore[override]
        """See `ServerProcess`."""
        env = {
            "PYTHONPATH": str(ROOT),
            FAILING: str(self.failing),
            "TESTS_WRITER": "1" * self._writer,
            **options.pop("env", {}),
        }
        super().start(env=env, **options)
        return self

    @property
    def processes(self) -> dict[str, int]:
        """The process ids of those that run, each by its name; the newest of each."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        found: dict[str, int] = {}
        for pid in map(int, children):
            # One that has ended has no command line any more.
            with suppress(OSError, IndexError):
                found[Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[-2]] = pid
        return found

    @property
    def workers(self) -> dict[int, int]:
        """Of those the workers, by their numbers."""
        return {
            int(name.removeprefix("worker-")): pid
            for name, pid in self.processes.items()
            if name.startswith("worker-")
        }
