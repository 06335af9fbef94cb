"""A real PostgreSQL for tests: in a temporary folder, on a private Unix socket.

One is started for a whole run of the tests (a process of it), and is gone with it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

#: What makes one fast, where no test is about what a crash leaves.
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}


def programs() -> Path:
    """The newest PostgreSQL that Debian installed, or the one that `TESTS_POSTGRES` names."""
    if named := os.environ.get("TESTS_POSTGRES"):
        return Path(named)
    [*_, newest] = sorted(
        Path("/usr/lib/postgresql").iterdir(), key=lambda folder: int(folder.name)
    )
    return newest / "bin"


class Engine:
    """One PostgreSQL.

    :param settings: of its configuration.
    :param copy_of: another one, of which it is a replica.
    """

    def __init__(
        self, settings: dict[str, str] | None = None, copy_of: Engine | None = None
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tako-pg-"))
        self.data = self.folder / "data"
        self.port = (settings or {}).get("port", "5432")
        self._process: subprocess.Popen[bytes] | None = None
        # It refuses to run as root.
        self._user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        else:
            self._user = []
        if copy_of is None:
            self._run(
                "initdb", "-A", "trust", "-U", "tako", "-E", "UTF8", "--no-sync", "-D", self.data
            )
            told = {
                "listen_addresses": "''",
                "unix_socket_directories": f"'{self.folder}'",
                # Those of logs that were stopped are gone a moment later only.
                "max_connections": "200",
                "shared_buffers": "32MB",
                **(FAST if settings is None else settings),
            }
        else:
            self._run(
                "pg_basebackup", "-h", copy_of.folder, "-U", "tako", "-D", self.data,
                "-X", "stream", "-c", "fast", "--no-sync",
            )  # fmt: skip
            # By hand, not by -R: that writes what only a libpq of its own age knows.
            (self.data / "standby.signal").touch()
            told = {
                "unix_socket_directories": f"'{self.folder}'",
                "primary_conninfo": f"'host={copy_of.folder} port={copy_of.port} user=tako'",
                **(settings or {}),
            }
        with open(self.data / "postgresql.conf", "a") as file:
            file.write("".join(f"{name} = {value}\n" for name, value in told.items()))
        self.start()

    def _run(self, program: str, *arguments: object) -> None:
        subprocess.run(
            [*self._user, str(programs() / program), *map(str, arguments)],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        # It ends with the tests, also where those are killed.  Linux takes the end of the thread
        # that started it for that of the process, so it is said in the main thread alone.
        ends = threading.current_thread() is threading.main_thread()
        before = [*(self._user or ["setpriv"]), "--pdeathsig=QUIT"] if ends else self._user
        # With its own hands it writes down what it says, so that a failure can be looked into.
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                [*before, str(programs() / "postgres"), "-D", str(self.data)],
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        deadline = time.monotonic() + 240
        while True:
            try:
                self.connect().close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.02)

    @property
    def pid(self) -> int:
        """Of the first of its processes."""
        assert self._process is not None
        return self._process.pid

    @property
    def pids(self) -> list[int]:
        """Of all its processes."""
        return [self.pid, *self._family()]

    def signal(self, number: int) -> None:
        """To it and all its processes."""
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _family(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def kill(self) -> None:
        """As a crash does."""
        # Stopped first: it makes no more processes then, which would be in the way of the next
        # start, and those that end stay in the list of its children.
        os.kill(self.pid, signal.SIGSTOP)
        self._until(lambda: _state(self.pid) == "T")
        family = self._family()
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()
        # It does not start while one of the old is there.
        self._until(lambda: all(_state(pid) in ("", "Z") for pid in family))

    @staticmethod
    def _until(true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 240
        while not true():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def promote(self) -> None:
        """Have a replica take over."""
        self._run("pg_ctl", "promote", "-D", self.data, "-w")

    def dump(self, schema: str) -> Path:
        """A dump of one schema, which `restore` takes."""
        path = self.folder / "dump"
        self._run("pg_dump", "-h", self.folder, "-U", "tako", "-n", schema, "-f", path, "postgres")
        return path

    def restore(self, dump: Path) -> None:
        """Bring a dump in."""
        self._run(
            "psql", "-q", "-h", self.folder, "-U", "tako", "-v", "ON_ERROR_STOP=1", "-f", dump,
            "postgres",
        )  # fmt: skip

    def stop(self) -> None:
        """Stop it at once, in order."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()

    def close(self) -> None:
        """Stop it and remove everything."""
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGCONT)
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, user: str = "tako", database: str = "postgres", **more: str) -> str:
        """For `replay.url`."""
        keys = {"host": str(self.folder), "port": self.port, **more}
        query = "&".join(f"{name}={value}" for name, value in keys.items())
        return f"postgresql://{user}@/{database}?{query}"

    def connect(self, **more: Any) -> psycopg.Connection[Any]:
        """A plain connection, for what a test does by hand."""
        return psycopg.connect(self.url(), autocommit=True, **more)


def _state(pid: int) -> str:
    """The kernel's letter for what a process does; nothing of one that is not there."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # Behind its name, which may have any characters.
    return stat.rpartition(")")[2].split()[0]


_shared: list[Engine] = []


def engine() -> Engine:
    """The one that tests share; each uses a schema of its own."""
    if not _shared:
        _shared.append(Engine())
        atexit.register(_shared[0].close)
    return _shared[0]
