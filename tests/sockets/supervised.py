"""A server with several workers in processes of their own, whose workers have a log each.

    python -m tests.sockets.supervised serve --workers 2        # or: twistd -n tako --workers 2

What of the supervisor does not depend on the log is tested so: on the ordinary commands, signals
and sockets.  Rule: only the log and what an environment variable asks for differ from a real one.

`TESTS_WRITER` is not empty where there is to be a `Writer` too.
`TESTS_FAILING` names a file: while it is there, workers that start end with its text as exit code.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import attrs
from twisted.logger import Logger

from takotwist.server.config import Config
from takotwist.server.options import Options
from takotwist.server.supervisor import kinds, supervisor
from takotwist.server.supervisor.child import Child


def make(child: Child, reactor: Any) -> Any:
    """A worker with a log of its own."""
    from takotwist.server.replay_log import replay_log
    from takotwist.server.worker import serving

    failing = Path(os.environ["TESTS_FAILING"])
    if failing.exists():
        sys.exit(int(failing.read_text()))
    path = child.config.replay.path.with_name(f"replay-{child.start.slot}.sqlite")
    config = attrs.evolve(child.config, replay=attrs.evolve(child.config.replay, path=path))
    return serving(child, config, reactor, replay_log)


class Writer:
    """A process that the workers need, and that does nothing."""

    log = Logger()
    exit_code = 0

    def __init__(self, child: Child) -> None:
        self._child = child

    def startService(self) -> None:
        """See `ChildService`."""
        self._child.ready()

    def leave(self) -> None:
        """See `ChildService`."""

    def stopService(self) -> None:
        """See `ChildService`."""
        self.log.info("stopped")

    def reload(self, config: Config) -> None:
        """See `ChildService`."""
        self.log.info("the configuration was read again")


def make_writer(child: Child, reactor: Any) -> Writer:
    """See `Writer`."""
    return Writer(child)


def supervise(config: Config, options: Options, reactor: Any) -> supervisor.Supervisor:
    """In the place of the program's own."""
    count = kinds.count_of(config)
    writer = kinds.Kind(name="writer", entry=f"{make.__module__}:make_writer")
    workers = attrs.evolve(kinds.workers(count), entry=f"{make.__module__}:make")
    wanted = [workers, writer] if os.environ["TESTS_WRITER"] else [workers]
    return supervisor.Supervisor(config, options, reactor, wanted)


def main() -> None:
    """Run the command of the arguments."""
    supervisor.supervise = supervise
    if sys.argv[1] == "twistd":
        del sys.argv[1]
        from twisted.scripts.twistd import run

        run()
    else:
        from takotwist.cli import main as tako

        tako()


if __name__ == "__main__":
    # By its own name, for the workers to find it.
    from tests.sockets import supervised

    supervised.main()
