"""A model's answer while connections are cut and its server is killed: its writer, and readers.

For `tests.faults.test_streamed` and for ``python -m benchmarks.answer``.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from random import Random
from typing import Any

import attrs

from takotwist import Publisher
from tests.sockets.server_process import FAST, KEY, ServerProcess

CONFIG = f'{FAST}\n[publish]\nkeys = ["{KEY}"]\n'

#: A channel that everybody may follow.
CHANNEL = """\
from takotwist import define_channel

room = {"type": "object", "properties": {"roomId": {"type": "string"}}, "required": ["roomId"]}
answers = define_channel("answers", params=room)
"""

PARAMS = {"roomId": "lobby"}

#: Seconds before a reader comes again.
PAUSE = 0.05


class Reader:
    """Reads event streams over a raw connection, and comes again at its last place.

    :param target: gives path and query for a place.
    :param take: reads one event: words, the next place, and whether that was the end.
    """

    def __init__(
        self,
        port: int,
        place: str,
        target: Callable[[str], str],
        take: Callable[[Reader, list[bytes]], None],
    ) -> None:
        self.place = place
        self.words: list[str] = []
        self.closed = False
        self.connections = 0
        self._port = port
        self._target = target
        self._take = take
        self._writer: asyncio.StreamWriter | None = None

    @property
    def text(self) -> str:
        """All that it has."""
        return "".join(self.words)

    def cut(self) -> None:
        """Its connection breaks, now."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def run(self) -> None:
        """Read until it is told the end."""
        while not self.closed:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._read()
            if not self.closed:
                await asyncio.sleep(PAUSE)

    async def _read(self) -> None:
        incoming, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self.connections += 1
        try:
            asked = f"GET {self._target(self.place)} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            self._writer.write(asked.encode())
            head = (await incoming.readuntil(b"\r\n\r\n")).lower()
            status = head.split(b" ", 2)[1]
            if status != b"200":
                assert status in (b"503", b"429"), head
                return
            assert b"transfer-encoding: chunked" in head, head
            rest = b""
            while size := int(await incoming.readuntil(b"\r\n"), 16):
                rest += (await incoming.readexactly(size + 2))[:-2]
                *events, rest = rest.split(b"\n\n")
                for event in events:
                    self._take(self, event.split(b"\n"))
        finally:
            self._writer.close()
            self._writer = None


def take_streamed(reader: Reader, lines: list[bytes]) -> None:
    """An event of a streamed message: words count with their place."""
    fields = dict(line.partition(b":")[::2] for line in lines)
    if fields.get(b"event") == b" data":
        reader.words += json.loads(fields[b"data"])
    elif fields.get(b"event") == b" control":
        said = json.loads(fields[b"data"])
        reader.place = said["streamNextOffset"]
        reader.closed = said.get("streamClosed", False)


def reader_of(server: ServerProcess, name: str) -> Reader:
    """A reader of a streamed message."""
    target = f"/channels/answers/streams/{name}?roomId=lobby&live=sse&offset="
    return Reader(server.port, "-1", lambda place: target + place, take_streamed)


@attrs.define
class Spent:
    """What the processes of a server took.

    :ivar cpu: seconds of processor time, and `written` bytes that went to the disk.
    """

    cpu: float = 0.0
    written: int = 0

    def begin(self, pid: int) -> None:
        """What one took for its start is not counted."""
        self.add(pid, -1)

    def add(self, pid: int, sign: int = 1) -> None:
        """Of one that is about to end."""
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        self.cpu += sign * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        with open(f"/proc/{pid}/io") as io:
            said = dict(line.split(": ") for line in io.read().splitlines())
        self.written += sign * int(said["write_bytes"])


@attrs.define
class Answer:
    """One run.

    :ivar tokens: in all, at `rate` a second.
    :ivar readers: from the beginning; as many again as a tenth of them come later.
    :ivar cuts: of connections, at random moments.
    :ivar kills: of the server, at moments of equal distance.
    """

    tokens: int
    rate: float
    readers: int
    cuts: int
    kills: int
    seed: str = "answer"
    spent: Spent = attrs.field(factory=Spent)

    @property
    def words(self) -> list[str]:
        """All tokens."""
        return [
            f"tok{number}é\n" if number % 50 == 49 else f" t{number}"
            for number in range(self.tokens)
        ]

    @property
    def seconds(self) -> float:
        """How long it takes to write."""
        return self.tokens / self.rate

    async def write(self, write: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        """Write all tokens at their times."""
        began = time.monotonic()
        for number, word in enumerate(self.words):
            await write(word)
            wait = began + (number + 1) / self.rate - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)

    async def disturb(self, readers: list[Reader]) -> None:
        """Cut connections while it is written."""
        random = Random(self.seed)
        moments = sorted(random.uniform(0.0, self.seconds) for _ in range(self.cuts))
        began = time.monotonic()
        for moment in moments:
            await asyncio.sleep(max(0.0, began + moment - time.monotonic()))
            random.choice(readers).cut()

    async def kill(self, server: ServerProcess) -> None:
        """Kill the server while it is written, and start it again."""
        for number in range(self.kills):
            await asyncio.sleep(
                self.seconds / (self.kills + 1) if number == 0 else self.seconds / 4
            )
            self.spent.add(server.pid)
            server.kill()
            await asyncio.to_thread(server.start)
            self.spent.begin(server.pid)

    async def run(self, server: ServerProcess) -> list[Reader]:
        """Write it to a server of streamed messages; the readers, when all were told its end."""
        publisher = Publisher(server.url, KEY, patience=60)
        readers: list[Reader] = []
        running: list[asyncio.Task[None]] = []

        def join(count: int, name: str) -> None:
            for _ in range(count):
                readers.append(reader_of(server, name))
                running.append(asyncio.create_task(readers[-1].run()))

        async with publisher.stream_async("answers", PARAMS, "answer") as out:
            join(self.readers, out.id)
            disturbing = [
                asyncio.create_task(self.disturb(readers)),
                asyncio.create_task(self.kill(server)),
            ]
            asyncio.get_running_loop().call_later(
                self.seconds / 2, join, max(1, self.readers // 10), out.id
            )
            await self.write(out.write)
            await asyncio.gather(*disturbing)
        join(1, out.id)
        await asyncio.gather(*running)
        await publisher.close_async()
        return readers
