"""A server whose processes are of the release that a file names at their start.

    python -m tests.sockets.released serve --workers 2

`TESTS_RELEASE` names the file; its text is the version of the frames of the log.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from takotwist.server.supervisor import supervisor
from takotwist.server.supervisor.child import Child

if TYPE_CHECKING:
    from takotwist.server.log_writer import LogWriter
    from takotwist.server.worker import WorkerService


def _version() -> int:
    return int(Path(os.environ["TESTS_RELEASE"]).read_text())


def make_writer(child: Child, reactor: Any) -> LogWriter:
    """The log's writer."""
    from takotwist.server.log_writer import make

    service = make(child, reactor)
    service.host.version = _version()
    return service


def make_worker(child: Child, reactor: Any) -> WorkerService:
    """A worker."""
    from takotwist.adapters.shared.worker_log import WorkerLog
    from takotwist.server.worker import make

    service = make(child, reactor)
    log = service.parts.log
    assert isinstance(log, WorkerLog)
    log.version = _version()
    return service


def main() -> None:
    """Run the command of the arguments."""
    from takotwist.cli import main as tako

    here = make_worker.__module__
    writer, workers = supervisor.log_writer, supervisor.workers
    supervisor.log_writer = lambda: attrs.evolve(writer(), entry=f"{here}:make_writer")
    supervisor.workers = lambda count: attrs.evolve(workers(count), entry=f"{here}:make_worker")
    tako()


if __name__ == "__main__":
    # By its own name, for the processes to find it.
    from tests.sockets import released

    released.main()
