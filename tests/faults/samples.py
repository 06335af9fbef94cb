"""What a server holds, second by second, and whether it comes to hold more.

Rule: the middle third of a run is held against its last; the first third may
grow, because caches and windows fill there.
"""

from __future__ import annotations

import statistics
from pathlib import Path

import attrs
import httpx

from tests.faults.watching import cpu_seconds
from tests.sockets.server_process import ServerProcess

MIB = 1 << 20


@attrs.frozen
class Sample:
    """What a server holds at one moment.

    :ivar memory: resident, in bytes.
    :ivar timers: of the reactor, and deadlines of connections.
    :ivar database: bytes of the store's files, its journal with them.
    """

    memory: int
    descriptors: int
    threads: int
    timers: int
    database: int


#: What may be added to the middle third's median: a hundredth part of it, and so much.
TOLERANCE = Sample(memory=2 * MIB, descriptors=4, threads=1, timers=40, database=MIB // 2)


class Sampler:
    """Looks at one server from outside: at its process, its files and its metrics."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._private: httpx.Client = server.private(timeout=30)

    def sample(self) -> Sample:
        """Look once."""
        process = Path(f"/proc/{self._server.pid}")
        state = self._server.folder / "state"
        return Sample(
            memory=self._server.memory,
            descriptors=len(list((process / "fd").iterdir())),
            threads=len(list((process / "task").iterdir())),
            timers=self._timers(),
            database=sum(file.stat().st_size for file in state.glob("replay.sqlite*")),
        )

    def cpu(self) -> float:
        """Processor time of the server so far, in seconds."""
        return cpu_seconds(self._server.pid)

    def close(self) -> None:
        """Look no more."""
        self._private.close()

    def _timers(self) -> int:
        for line in self._private.get("/_tako/metrics").text.splitlines():
            if line.startswith("tako_timers "):
                return int(float(line.split()[1]))
        raise AssertionError("no tako_timers among the metrics")


@attrs.frozen
class Held:
    """The samples of one run, one a second."""

    samples: list[Sample]

    def medians(self) -> tuple[Sample, Sample]:
        """Of the middle third and of the last."""
        third = len(self.samples) // 3
        middle, last = self.samples[third : 2 * third], self.samples[2 * third :]
        return _median(middle), _median(last)

    def grown(self, tolerance: Sample = TOLERANCE) -> list[str]:
        """Names of what the server held more of in the last third than in the middle one."""
        middle, last = self.medians()
        return [
            name
            for name, allowed in attrs.asdict(tolerance).items()
            if getattr(last, name) > getattr(middle, name) * 1.01 + allowed
        ]

    def table(self) -> str:
        """For who reads it."""
        middle, last = self.medians()
        lines = [f"{'':12}{'middle third':>16}{'last third':>16}{'most':>16}"]
        for name in attrs.fields_dict(Sample):
            most = max(getattr(one, name) for one in self.samples)
            lines.append(
                f"{name:12}{getattr(middle, name):>16,}{getattr(last, name):>16,}{most:>16,}"
            )
        return "\n".join(lines)


def _median(samples: list[Sample]) -> Sample:
    return Sample(
        *(
            int(statistics.median(getattr(one, name) for one in samples))
            for name in attrs.fields_dict(Sample)
        )
    )
