"""Cost of presence: joins and leaves, a restart with all members, a large audience.

    python -m benchmarks.presence [--rounds N] [changes | restart | audience] ...

CPU is that of the server's process; each figure stands beside one of the same run, in the same
unit, so that a busy machine moves both: a join or leave beside a message to as many readers, a
restart of 2,000 members beside one of 500.  Prints medians.

Rule: a client is as little as can be, bytes in and bytes counted, because thousands of them share
the machine with the server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks import requests
from benchmarks.peers.peer import allow_files
from benchmarks.peers.tako import Tako

CHANNELS = """
from takotwist import Grant, Presence, define_channel

room = define_channel(
    "room", forward_unhandled=True, presence=Presence(grace=20, max_members=100_000)
)
hall = define_channel("hall", presence="count")

@room.verify
async def verify(request):
    return Grant(subject=request.header.value, info={"name": request.header.value})
"""

#: Seconds for which the room waits for who was cut off.
GRACE = 20

#: Members of `changes`, and how many joins and as many leaves are measured.
MEMBERS, CHANGES = (10, 100, 1_000), 40

#: Members that come back after `kill -9`, and the readers of a count.
RETURNING, AUDIENCE = (500, 1_000, 2_000), 10_000

#: Connections that are opened at a time.
AT_A_TIME = 64

#: Seconds for anything, on a busy machine.
PATIENCE = 300.0

_UPGRADE = requests.upgrade("/_tako/connect", {"Sec-WebSocket-Protocol": "tako.v1"})


class Server(Tako):
    """Ours, with a room and a hall."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "channels" / "bench.py").write_text(CHANNELS)
        toml = folder / "tako.toml"
        # Changes are measured one by one.
        toml.write_text(toml.read_text() + "presence_interval_seconds = 0.01\n")


class Client(asyncio.Protocol):
    """One connection, which counts what comes.

    :ivar bytes: all of it.
    :ivar last: its end, in which a frame is looked for.
    """

    transport: asyncio.Transport

    def __init__(self, *frames: str) -> None:
        self._frames = frames
        self.bytes = self.counts = 0
        self.seen: dict[bytes, int] = {}
        self.marks: tuple[bytes, ...] = ()
        self.rest = b""
        self.ready = asyncio.get_running_loop().create_future()
        self.awaited = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(_UPGRADE + b"".join(requests.frame(text) for text in self._frames))

    def data_received(self, data: bytes) -> None:
        self.bytes += len(data)
        text = self.rest + data
        # Of each frame the longest mark may be cut; one that was whole is not looked at again.
        for mark in self.marks:
            found = text.count(mark)
            if found:
                self.seen[mark] = self.seen.get(mark, 0) + found
                text = text.replace(mark, b"")
        if self.awaited and self.awaited in text:
            self.awaited = b""
            self.ready.set_result(None)
        self.rest = text[-24:]

    def has(self, mark: bytes, times: int) -> bool:
        """Tell whether a mark has come so often."""
        return self.seen.get(mark, 0) >= times

    def say(self, text: str) -> None:
        """Send a frame."""
        self.transport.write(requests.frame(text))


def follow(channel: str, name: str, cursor: str = "", *, roster: bool = True) -> list[str]:
    """Frames by which one is at a topic, and sees who is.

    :param cursor: of the roster; empty for all who are there.
    """
    about = f'"op":"subscribe","channel":"{channel}","auth":"{name}"'
    frames = ["{" + about + ',"ref":1}']
    watch = "{" + about + f',"ref":2,"presence":true,"cursor":"{cursor}"}}'
    return [*frames, watch] if roster else frames


async def opened(
    server: Server, channel: str, count: int, cursor: str = "", *, roster: bool = True
) -> list[Client]:
    """Connect so many, each under a name of its own; all have what they ask for."""
    loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(AT_A_TIME)

    async def one(number: int) -> Client:
        async with gate:
            _, client = await loop.create_connection(
                lambda: Client(*follow(channel, f"m{number:05}", cursor, roster=roster)),
                "127.0.0.1",
                server.port,
            )
            client.awaited = b'"synced"' if roster else b'"ack"'
            await asyncio.wait_for(client.ready, PATIENCE)
            return client

    return list(await asyncio.gather(*map(one, range(count))))


async def until(true: Callable[[], bool]) -> None:
    """Wait for it.

    :raises TimeoutError: it does not come.
    """
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.002)


async def settled(clients: Sequence[Client]) -> None:
    """Wait until nothing comes any more."""
    before = -1
    while (now := sum(client.bytes for client in clients)) != before:
        before = now
        await asyncio.sleep(1.0)


async def each(
    server: Server, visitor: Client, last: Client, frames: Sequence[tuple[str, bytes]]
) -> float:
    """Seconds of CPU of each thing that one does and the last of all is told of.

    :param frames: each with the mark of what is told.
    """
    spent = server.cpu()
    for _ in range(CHANGES):
        for frame, mark in frames:
            wanted = last.seen.get(mark, 0) + 1
            visitor.say(frame)
            await until(partial(last.has, mark, wanted))
    return (server.cpu() - spent) / CHANGES / len(frames)


async def changes(server: Server) -> None:
    """A join or leave, and a message, to as many."""
    for members in MEMBERS:
        clients = await opened(server, "room", members)
        await settled(clients)
        visitor = (await opened(server, "hall", 1))[0]
        last = clients[-1]
        join, leave, said = b'"tako.join"', b'"tako.leave"', b'"type":"m"'
        last.marks = (join, leave, said)

        [subscribe] = follow("room", "visitor", roster=False)
        unsubscribe = '{"op":"unsubscribe","ref":3,"channel":"room"}'
        publish = (
            '{"op":"publish","ref":4,"channel":"room","type":"m","auth":"visitor","data":'
            '{"subject":"visitor","since":1763700000123,"info":{"name":"visitor"}}}'
        )
        change = await each(server, visitor, last, [(subscribe, join), (unsubscribe, leave)])
        message = await each(server, visitor, last, [(publish, said)])
        print(
            f"{members:>6,} members: a join or leave {change * 1e6:>8,.0f} us of CPU,"
            f" {change / members * 1e6:6.2f} us a member; a message to all"
            f" {message * 1e6:>8,.0f} us: {change / message:.2f} times",
            flush=True,
        )
        for client in [*clients, visitor]:
            client.transport.abort()
        await asyncio.sleep(GRACE + 2)


def roster_cursor(server: Server, channel: str) -> str:
    """The cursor at the end of its roster."""
    url = f"http://127.0.0.1:{server.port}/channels/{channel}/presence?limit=1"
    asked = urllib.request.Request(url, headers={"Authorization": "watcher"})
    with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
        return str(json.load(answer)["cursor"])


async def comes_back(server: Server, channel: str, count: int) -> tuple[float, int, int]:
    """Seconds of CPU from when it listens until all are back, bytes to all, and changes told."""
    clients = await opened(server, channel, count, roster=False)
    await settled(clients)
    await asyncio.sleep(2)
    cursor = roster_cursor(server, channel)
    server.stop(signal.SIGKILL)
    for client in clients:
        client.transport.abort()
    server.start()
    began, start = time.monotonic(), server.cpu()
    clients = await opened(server, channel, count, cursor)
    spent, received = server.cpu() - start, sum(client.bytes for client in clients)
    marks = (b'"tako.join"', b'"tako.leave"', b'"tako.update"', b'"tako.count"')
    for client in clients:
        client.marks = marks
    # Past the grace: whoever was taken for away would leave by then.
    await asyncio.sleep(max(1.0, began + GRACE + 2 - time.monotonic()))
    told = sum(sum(client.seen.values()) for client in clients)
    for client in clients:
        client.transport.abort()
    return spent, received, told


async def restart(server: Server, rounds: int) -> None:
    """All members come back after `kill -9`: what they are told, and what it costs."""
    first: tuple[float, float] | None = None
    for members in RETURNING:
        found = [await comes_back(server, "room", members) for _ in range(rounds)]
        cpu = statistics.median(one[0] for one in found) / members
        sent = statistics.median(one[1] for one in found) / members
        first = first or (cpu, sent)
        print(
            f"{members:>6,} members back: {cpu * 1e3:6.2f} ms of CPU each"
            f" ({cpu / first[0]:.2f} times that of {RETURNING[0]}), {sent:,.0f} bytes each"
            f" ({sent / first[1]:.2f} times); changes told: {max(one[2] for one in found)}",
            flush=True,
        )


async def audience(server: Server, rounds: int) -> None:
    """A hall of which only the number is told, and its restart."""
    before = server.cpu()
    clients = await opened(server, "hall", AUDIENCE)
    came = (server.cpu() - before) / AUDIENCE
    for client in clients:
        client.transport.abort()
    await asyncio.sleep(7)
    print(
        f"{AUDIENCE:,} readers of a count: {came * 1e3:.2f} ms of CPU each, handshake"
        " and both subscriptions included",
        flush=True,
    )
    found = [await comes_back(server, "hall", AUDIENCE) for _ in range(rounds)]
    cpu = statistics.median(one[0] for one in found) / AUDIENCE
    sent = statistics.median(one[1] for one in found) / AUDIENCE
    told = statistics.median(one[2] for one in found) / AUDIENCE
    print(
        f"the same after kill -9: {cpu * 1e3:.2f} ms of CPU each ({cpu / came:.2f} times),"
        f" {sent:,.0f} bytes each; numbers told after that: {told:.1f} each",
        flush=True,
    )


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.presence", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", nargs="*", help="changes, restart, audience; all of them")
    parser.add_argument("--rounds", type=int, default=3, help="of restarts (3)")
    asked = parser.parse_args()
    names = asked.what or ["changes", "restart", "audience"]
    for unknown in set(names) - {"changes", "restart", "audience"}:
        parser.error(f"there is no {unknown}")
    allow_files()
    load = os.getloadavg()[0]
    print(f"load of the machine: {load:.1f}", flush=True)
    for name in names:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="tako-") as folder:
            server = Server(Path(folder))
            server.start()
            try:
                if name == "changes":
                    asyncio.run(changes(server))
                else:
                    run = restart if name == "restart" else audience
                    asyncio.run(run(server, asked.rounds))
            finally:
                server.stop()
        print(f"{name}: {time.monotonic() - began:.0f} seconds", flush=True)


if __name__ == "__main__":
    main()
