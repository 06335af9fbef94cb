"""A server under a mixed load for as long as one likes, and what it holds meanwhile.

    python -m tests.faults.soak [--minutes 30]

Rule: it begins full within seconds (its window is short), so that whatever still
grows between the middle third and the last is a leak and not a beginning.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import threading
import time
from pathlib import Path

import attrs

from tests.faults.watching import Publishing, Reading
from tests.sockets.readers import READERS, Reader
from tests.sockets.server_process import FAST, ServerProcess

ROOM = {"roomId": "lobby"}

#: Messages that a topic keeps; the load publishes so many in ten seconds.
KEPT = 200

CONFIG = f"{FAST}\n[lifecycle]\nreplay_max_messages = {KEPT}\n"

PUBLISHERS = 2
RATE = 10.0

#: Seconds that one who comes and goes stays and stays away.
STAYS, AWAY = 0.7, 0.2

MIB = 1 << 20


@attrs.frozen
class Sample:
    """What a server holds at one moment.

    :ivar memory: resident, in bytes.
    :ivar database: bytes of the store's files, its journal with them.
    """

    memory: int
    descriptors: int
    threads: int
    database: int


#: What may be added to the middle third's median: a hundredth part of it, and so much.
TOLERANCE = Sample(memory=2 * MIB, descriptors=4, threads=1, database=MIB // 2)


def sample(server: ServerProcess) -> Sample:
    """Look once."""
    process = Path(f"/proc/{server.pid}")
    state = server.folder / "state"
    return Sample(
        memory=server.memory,
        descriptors=len(list((process / "fd").iterdir())),
        threads=len(list((process / "task").iterdir())),
        database=sum(file.stat().st_size for file in state.glob("replay.sqlite*")),
    )


class Visits(threading.Thread):
    """Sends a reader away and lets it come back, by a word or by a reset in turn.

    The reader resumes each time, so that over all visits it sees each message once.
    """

    def __init__(self, reader: Reader) -> None:
        super().__init__(daemon=True)
        self.reader = reader
        self.visits = 0
        self.failure: BaseException | None = None
        self._over = threading.Event()

    def run(self) -> None:
        try:
            while not self._over.is_set():
                self._visit()
        except BaseException as failure:
            self.failure = failure
        finally:
            self.reader.close()

    def _visit(self) -> None:
        self.reader.connect()
        leave = time.monotonic() + STAYS
        while time.monotonic() < leave:
            with contextlib.suppress(TimeoutError):
                self.reader.read(timeout=0.2)
        self.reader.cut(abort=bool(self.visits % 2))
        self.visits += 1
        self._over.wait(AWAY)

    def stop(self) -> Reader:
        """Be away; the reader, who can go on elsewhere.

        :raises BaseException: what went wrong.
        """
        self._over.set()
        self.join(30)
        assert not self.is_alive(), "a visit that does not end"
        if self.failure is not None:
            raise self.failure
        return self.reader


@attrs.frozen
class Soaked:
    """What came of it.

    :ivar samples: one a second.
    :ivar published: messages that were acknowledged, each of which all readers have seen.
    :ivar visits: of those who come and go.
    """

    samples: list[Sample]
    published: int
    visits: int

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
        lines.append(f"{self.published:,} messages, {self.visits:,} visits")
        return "\n".join(lines)


def _median(samples: list[Sample]) -> Sample:
    return Sample(
        *(
            int(statistics.median(getattr(one, name) for one in samples))
            for name in attrs.fields_dict(Sample)
        )
    )


def soak(server: ServerProcess, seconds: float) -> Soaked:
    """Load `server` and watch it; `seconds` are at least 3.

    :raises AssertionError: a message was lost, doubled, out of order or refused.
    """
    port = server.port
    staying = [Reading(kind(port, "chat", ROOM)) for kind in READERS.values()]
    visiting = [Visits(kind(port, "chat", ROOM)) for kind in READERS.values()]
    publishing = [Publishing(server, RATE) for _ in range(PUBLISHERS)]
    samples: list[Sample] = []
    for thread in (*staying, *visiting, *publishing):
        thread.start()
    over = time.monotonic() + seconds
    while time.monotonic() < over:
        time.sleep(1.0)
        samples.append(sample(server))
    for publisher in publishing:
        publisher.stop()
        assert not publisher.refused, publisher.refused
    published = sorted(id for one in publishing for id in one.acknowledged.values())
    # Who is away sees the rest as one who stays.
    staying += [Reading(one.stop()) for one in visiting]
    for reading in staying[len(visiting) :]:
        reading.start()
    for reading in staying:
        assert reading.finish(published[-1]) == published, "lost"
        assert not reading.gone, "a cursor that is too old"
    return Soaked(samples, len(published), sum(one.visits for one in visiting))


def main() -> int:
    """Soak, and say what came of it; 1 where something grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    minutes = parser.parse_args().minutes
    server = ServerProcess(CONFIG)
    try:
        soaked = soak(server.start(), minutes * 60)
        server.assert_clean()
    finally:
        server.close()
    print(soaked.table())
    grown = soaked.grown()
    print("grown: " + ", ".join(grown) if grown else "nothing grows")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
