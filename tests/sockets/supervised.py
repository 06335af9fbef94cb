"""A server with several workers in processes of their own, whose workers have a log each.

    python -m tests.sockets.supervised serve --workers 2        # or: twistd -n tako --workers 2

What of the supervisor does not depend on the log is tested so: on the ordinary commands, signals
and sockets.  Rule: only the log and what an environment variable asks for differ from a real one.

`TESTS_FAILING` names a file: while it is there, workers that start end with its text as exit code.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import attrs

from takotwist.server.config import Config
from takotwist.server.options import Options
from takotwist.server.supervisor import kinds, supervisor
from takotwist.server.supervisor.child import Child


def make(child: Child, reactor: Any) -> Any:
    """A worker with a log of its own."""
    from takotwist.server.worker import serving

    failing = Path(os.environ["TESTS_FAILING"])
    if failing.exists():
        sys.exit(int(failing.read_text()))
    path = child.config.replay.path.with_name(f"replay-{child.start.slot}.sqlite")
    config = attrs.evolve(child.config, replay=attrs.evolve(child.config.replay, path=path))
    return serving(child, config, reactor)


def supervise(config: Config, options: Options, reactor: Any) -> supervisor.Supervisor:
    """In the place of the program's own."""
    workers = attrs.evolve(kinds.workers(kinds.count_of(config)), entry=f"{make.__module__}:make")
    return supervisor.Supervisor(config, options, reactor, [workers])


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
