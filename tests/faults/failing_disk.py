"""A server in memory, with its log on a disk that fails at one chosen system call.

``failing_disk.c`` preloaded::

    python -m tests.faults.failing_disk FOLDER DURABILITY FAULT WHEN

fails at the first call of a publish (or, by WHEN, of a start), then at the second, until
there are no more, and prints what everybody saw of each, a line of JSON a time.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.task import Clock

from takotwist import define_channel
from takotwist.adapters.sqlite import SqliteReplayLog
from takotwist.adapters.sqlite import file as store_file
from takotwist.testing.world import BEGINNING, World
from tests.adapters.sqlite.inline_pool import InlinePool

#: Of the disk: (error, whether it lasts, whether a write is cut before).
FAULTS = {
    "EIO": (errno.EIO, False, False),
    "EIO until it is replaced": (errno.EIO, True, False),
    "ENOSPC": (errno.ENOSPC, False, False),
    "ENOSPC until there is room": (errno.ENOSPC, True, False),
    "half a write": (errno.ENOSPC, False, True),
    "half a write, then EIO": (errno.EIO, True, True),
}

#: When it fails: during one publish, one that also writes the -wal home, or a start.
WHENS = ("publish", "publish that writes home", "start")

NEWS = "/channels/news"


@attrs.define
class Disk:
    """The library that was preloaded."""

    _library: Any = attrs.field(factory=lambda: ctypes.CDLL(None), init=False)

    @contextmanager
    def failing(self, at: int, fault: str) -> Iterator[None]:
        """Meanwhile."""
        error, lasting, half = FAULTS[fault]
        self._library.failing_disk_arm(ctypes.c_long(at), error, int(lasting), int(half))
        try:
            yield
        finally:
            failed = self._library.failing_disk_failed
            failed.restype = ctypes.c_char_p
            self.call = failed().decode()
            self._library.failing_disk_arm(ctypes.c_long(-1), 0, 0, 0)

    call: str = attrs.field(default="", init=False)


class Server:
    """One life of a server on the file."""

    def __init__(self, path: Path, durability: Any) -> None:
        clock = Clock()
        clock.advance(BEGINNING)
        log = SqliteReplayLog(path, reactor=clock, durability=durability, make_pool=InlinePool)
        self.world = World(define_channel("news"), log=log)
        self.live: Any = None
        self.statuses: list[int] = []

    def follow(self) -> None:
        """A live reader."""
        self.live = self.world.subscribe(NEWS)
        assert self.live.status == 200, self.live.status

    def publish(self, number: int) -> str | None:
        """The id, or `None` where it was refused."""
        answer = self.world.request(
            "POST",
            NEWS,
            {"Idempotency-Key": f"k{number}", "Content-Type": "application/json"},
            {"type": "n", "data": number},
            private=True,
        )
        self.statuses.append(answer.status)
        return str(answer.json["id"]) if answer.status == 200 else None

    def until_published(self, number: int) -> str:
        """Again, as publishers do, with the same key."""
        for _ in range(5):
            stored = self.publish(number)
            if stored is not None:
                return stored
            self.world.advance(1.5)
        raise AssertionError(f"{number} is refused for good: {self.statuses}")

    def resumed(self, cursor: str) -> list[int]:
        """What a reader gets that comes back."""
        reader = self.world.subscribe(f"{NEWS}?last_message_id={cursor}")
        assert reader.status == 200, (reader.status, cursor)
        return numbers(reader)

    def history(self) -> list[int]:
        return [one["data"] for one in self.world.get(f"{NEWS}/history").json["messages"]]

    def stop(self) -> None:
        self.world.parts.log.stop()


def numbers(reader: Any) -> list[int]:
    return [one["data"] for one in reader.messages]


def once(disk: Disk, path: Path, durability: str, fault: str, when: str, at: int) -> dict[str, Any]:
    """One turn: what was seen."""
    server = Server(path, durability)
    first = server.publish(1)
    assert first is not None
    if when == "start":
        server.stop()
        with disk.failing(at, fault):
            server = Server(path, durability)
            server.publish(2)
        server.until_published(2)
        server.follow()
        before_live = 2
    else:
        server.follow()
        with disk.failing(at, fault):
            stored = server.publish(2)
        expected = [1] if stored is None else [1, 2]
        assert server.history() == expected, (server.history(), disk.call, "before it is repeated")
        server.until_published(2)
        before_live = 1
    server.until_published(3)
    server.world.advance(3)
    seen = {
        "at": at,
        "call": disk.call,
        "statuses": server.statuses,
        "live": numbers(server.live),
        "expected live": [2, 3][before_live - 1 :],
        "history": server.history(),
        "resumed": server.resumed(first),
    }
    server.stop()
    again = Server(path, durability)
    seen["after a restart"] = again.resumed(first)
    again.stop()
    return seen


def main(folder: str, durability: str, fault: str, when: str) -> None:
    """All turns."""
    if when == "publish that writes home":
        store_file.WAL_PAGES = 1
    disk, at = Disk(), 0
    while True:
        place = Path(folder) / str(at)
        place.mkdir()
        seen = once(disk, place / "replay.sqlite", durability, fault, when, at)
        print(json.dumps(seen), flush=True)
        if not seen["call"]:
            return
        at += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)
