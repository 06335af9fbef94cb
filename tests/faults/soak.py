"""A server under a mixed load for as long as one likes, and what it holds meanwhile.

    python -m tests.faults.soak [--minutes 30] [--load 0.7]

The load is a part of what this machine was just measured to do.  Rule: the window is
short, so that whatever still grows between the middle third and the last is a leak
and not a beginning.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

import attrs

from tests.faults.load import PUBLISHERS, ROOM, Audience, InOrder, Publisher, Visits
from tests.faults.samples import Held, Sample, Sampler
from tests.faults.watching import Reading
from tests.sockets.readers import READERS, Reader
from tests.sockets.server_process import FAST, ServerProcess

#: Seconds of its load that a topic keeps, and that a measurement takes.
WINDOW, MEASURING = 10.0, 15.0

#: Subscribers beside those who look at what they read: who read and forget, and who never read.
READING, SILENT = 150, 4


def config(rate: float) -> str:
    """A configuration whose window is `WINDOW` seconds of `rate` messages a second."""
    return f"{FAST}\n[lifecycle]\nreplay_max_messages = {max(200, int(rate * WINDOW))}\n"


@attrs.frozen
class Soaked:
    """What came of it.

    :ivar published: messages that were acknowledged, each of which all readers have seen.
    :ivar visits: of those who come and go.
    :ivar audience_bytes: that came to those who read and forget.
    :ivar slowest: seconds that the slowest publish took.
    :ivar busy: part of one processor that the server used.
    """

    held: Held
    seconds: float
    published: int
    visits: int
    audience_bytes: int
    slowest: float
    busy: float

    def table(self) -> str:
        """For who reads it."""
        return (
            f"{self.held.table()}\n"
            f"{self.published:,} messages in {self.seconds:,.0f} s"
            f" ({self.published / self.seconds:,.0f} a second), the slowest publish"
            f" {self.slowest * 1000:,.0f} ms; server {self.busy:.0%} of a processor;"
            f" {self.visits:,} visits; {self.audience_bytes / (1 << 20):,.0f} MiB to the audience\n"
            f"each of {2 * len(READERS)} readers saw each message once and in order"
        )


class Load:
    """All threads of a load.

    :param rates: messages a second of each publisher; `None` for as many as are answered.
    """

    def __init__(self, server: ServerProcess, rates: Sequence[float | None]) -> None:
        self.readers = [_reader(kind, server) for kind in (*READERS.values(), *READERS.values())]
        staying, coming = self.readers[: len(READERS)], self.readers[len(READERS) :]
        self._staying = [Reading(reader) for reader in staying]
        self._visits = [Visits(reader) for reader in coming]
        self.publishers: list[Publisher] = [
            kind(server, rate) for kind, rate in zip(PUBLISHERS, rates, strict=True)
        ]
        self.audience = Audience(server, READING, SILENT)
        self._threads = [*self._staying, *self._visits, self.audience, *self.publishers]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def check(self) -> None:
        """:raises BaseException: what has gone wrong so far."""
        for thread in self._threads:
            if thread.failure is not None:
                raise thread.failure

    @property
    def published(self) -> int:
        """Messages so far."""
        return sum(one.published for one in self.publishers)

    @property
    def seen(self) -> int:
        """Messages that the last of those who stay has seen."""
        return min(_seen(reading.reader).count for reading in self._staying)

    @property
    def visits(self) -> int:
        """So far."""
        return sum(one.visits for one in self._visits)

    def stop(self) -> None:
        """Publish no more, and have everybody read to the end.

        :raises AssertionError: a message was lost, doubled, out of order or refused.
        """
        for publisher in self.publishers:
            publisher.stop()
        last = max(publisher.last_id for publisher in self.publishers)
        # Who is away sees the rest as one who stays.
        for visit in self._visits:
            reading = Reading(visit.stop())
            self._staying.append(reading)
            reading.start()
        for reading in self._staying:
            reading.reach(last, 120)
            assert not reading.gone, "a cursor that is too old"
            told = {one.by: one.published - 1 for one in self.publishers if one.published}
            assert _seen(reading.reader).last == told, "lost"
        self.audience.stop()


def _reader(kind: type[Reader], server: ServerProcess) -> Reader:
    reader = kind(server.port, "chat", ROOM)
    reader.on_message = InOrder()
    return reader


def _seen(reader: Reader) -> InOrder:
    assert isinstance(reader.on_message, InOrder)
    return reader.on_message


def measure(server: ServerProcess, seconds: float = MEASURING) -> list[float]:
    """Messages a second that each publisher can publish and all readers can follow."""
    load = Load(server, [None] * len(PUBLISHERS))
    load.start()
    time.sleep(seconds)
    load.check()
    follow = load.seen / max(1, load.published)
    rates = [one.published * follow / seconds for one in load.publishers]
    load.stop()
    return rates


def soak(
    server: ServerProcess,
    seconds: float,
    rates: Sequence[float],
    told: Callable[[float, Sample], None] = lambda since, sample: None,
) -> Soaked:
    """Load `server` and watch it.

    :param seconds: at least 3.
    :param told: called with each sample and the seconds since the beginning.
    :raises AssertionError: a message was lost, doubled, out of order or refused.
    """
    load, sampler = Load(server, rates), Sampler(server)
    samples: list[Sample] = []
    used, began = sampler.cpu(), time.monotonic()
    load.start()
    while (since := time.monotonic() - began) < seconds:
        time.sleep(1.0)
        load.check()
        samples.append(sampler.sample())
        told(since, samples[-1])
    seconds, used = time.monotonic() - began, sampler.cpu() - used
    load.stop()
    sampler.close()
    return Soaked(
        Held(samples),
        seconds,
        load.published,
        load.visits,
        load.audience.bytes,
        max(one.slowest for one in load.publishers),
        used / seconds,
    )


def injected(rates: Sequence[float]) -> str:
    """The load in words."""
    each = ", ".join(
        f"{rate:.0f} a second as {kind.by}" for kind, rate in zip(PUBLISHERS, rates, strict=True)
    )
    return (
        f"{each}; {len(READERS)} readers that stay, {len(READERS)} that come and go, every other"
        f" time by a reset; {READING} that read and forget, {SILENT} that never read"
    )


def main() -> int:
    """Soak, and say what came of it; 1 where something grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--load", type=float, default=0.7, help="part of what was measured")
    options = parser.parse_args()

    def told(since: float, sample: Sample) -> None:
        if int(since) % 60 == 0:
            print(f"{since / 60:4.0f} min  {sample}", flush=True)

    server = ServerProcess(config(10_000))
    try:
        measured = measure(server.start())
    finally:
        server.close()
    rates = [options.load * rate for rate in measured]
    print(f"measured: {sum(measured):,.0f} messages a second\ninjected: {injected(rates)}")
    server = ServerProcess(config(sum(rates)))
    try:
        soaked = soak(server.start(), options.minutes * 60, rates, told)
        server.assert_clean()
    finally:
        server.close()
    print(f"saw:\n{soaked.table()}")
    grown = soaked.held.grown()
    print("grown: " + ", ".join(grown) if grown else "nothing grows")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
