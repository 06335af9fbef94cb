"""A server under measurement: how it is started, and what is sent to it."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from benchmarks import requests

#: Where a server runs, and where the generator does.
SERVER_CORE, GENERATOR_CORE = "0", "1"

#: How long a server may take to listen.
PATIENCE = 30.0


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@attrs.frozen
class Publish:
    """Way in for messages.

    :ivar open: sent once by each publisher.
    :ivar opened: what comes back when it may go on; empty where nothing does.
    :ivar unit: sent for each unit of `batch` messages.
    :ivar ack: what stands once in each answer, and is for `per_ack` messages.
    :ivar window: messages of a publisher that may be unanswered.
    """

    unit: bytes
    ack: str = "HTTP/1.1 2"
    batch: int = 1
    per_ack: int = 1
    window: int = 1
    open: bytes = b""
    opened: str = ""


def _cpu_of(pid: int) -> float:
    # `/proc/PID/stat` counts in hundredths of a second, which is 2 % of a short round.
    clock = ctypes.c_int()
    wrong = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
    if wrong:
        raise OSError(wrong, os.strerror(wrong), str(pid))
    return time.clock_gettime(clock.value)


def allow_files(wanted: int = 65_536) -> None:
    """Raise this process's limit of open files, and so that of what it starts.

    To `wanted`, or to what is allowed without asking.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
    except (OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def bound(core: str) -> list[str]:
    """The command that binds another to one core."""
    return ["taskset", "-c", core] if core else []


class Peer:
    """One server.

    :param folder: its own, for files.
    :param certificate: PEM with chain and key, where it is to serve TLS.
    :ivar subscribes: the kinds of subscribers that it serves.
    :ivar core: where it runs, with the generator elsewhere; "" for wherever there is room, for
        both: a server of several processes wants more than one.
    """

    name = ""
    core = SERVER_CORE
    subscribes: Sequence[str] = ("sse", "websocket")
    tls = True
    #: What the stream begins with when a subscriber is live.
    ready: Mapping[str, str] = {"sse": "\r\n\r\n", "websocket": "\r\n\r\n"}

    def __init__(self, folder: Path, certificate: Path | None = None) -> None:
        self.folder = folder
        self.certificate = certificate
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """The command that starts it."""
        raise NotImplementedError

    def subscribe(self, kind: str) -> bytes:
        """The request of a subscriber."""
        return {"sse": requests.get, "websocket": requests.upgrade}[kind](self.target(), {})

    def target(self) -> str:
        """The target of subscribers and publishers."""
        return f"/bench?n={requests.TOPIC}"

    def publish(self, kind: str = "single") -> Publish:
        """The request of a publisher."""
        if kind != "single":
            raise LookupError(f"{self.name} does not publish by {kind}")
        body = '{"type":"m","data":' + requests.data() + "}"
        return Publish(requests.post(self.target(), {}, body))

    # the process

    def start(self) -> None:
        """Start it and wait until it listens."""
        log = (self.folder / f"{self.name}.log").open("ab")
        self._process = subprocess.Popen(
            [*bound(self.core), *self.command()],
            cwd=self.folder,
            env={**os.environ, **self.environment()},
            stdout=log,
            stderr=log,
        )
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} does not listen; see {log.name}")

    def environment(self) -> Mapping[str, str]:
        """Of its process, beside our own."""
        return {}

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        if self._process is not None:
            self._process.send_signal(number)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    @property
    def pids(self) -> list[int]:
        """Of its processes, whose CPU counts."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [self._process.pid, *map(int, children.read_text().split())]

    @property
    def nodes(self) -> Sequence[int]:
        """Those of them that serve clients."""
        return self.pids

    @property
    def other_port(self) -> int:
        """A port of another node than the one behind `port`, where there is one."""
        return self.port

    def cpu(self) -> float:
        """Seconds of CPU that it has used: of all threads of all its processes."""
        return sum(map(_cpu_of, self.pids))

    def cpu_each(self) -> Mapping[int, float]:
        """The same of each process."""
        return {pid: _cpu_of(pid) for pid in self.pids}

    def resident(self) -> int:
        """Bytes of memory that it has to itself and has written to.

        Pages of libraries that it only reads are left out: Linux calls them private while
        no other process on the machine has the same file mapped, so a Python program that
        starts or ends elsewhere would be 13 MB less or more of ours.
        """
        total = 0
        for pid in self.pids:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Private_Dirty:"):
                    total += int(line.split()[1]) * 1024
        return total
