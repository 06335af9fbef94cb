"""Cost of a trigger of Pusher's that 1,000 clients follow, beside soketi.

    python -m benchmarks.pusher                  # 1,000 clients, 5 turns of each server

Each server is started by this program, on the first core, and soketi installed from npm when it
is first needed; clients and publisher are here, on the second.  They connect as ``pusher-js``
does, and the requests are signed.  A turn is 100 triggers one after the other, each waited for
until the last client has it, and then 300 of which eight wait for their answer at a time.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import select
import socket
import statistics
import tempfile
import threading
import time
from base64 import b64encode
from contextlib import ExitStack
from hashlib import md5
from pathlib import Path

import attrs

from benchmarks import requests
from benchmarks.peers.peer import GENERATOR_CORE, Peer, allow_files
from benchmarks.peers.pusher import ID, KEY, SECRET, PusherTako, Soketi
from takotwist.facades.pusher.signatures import of_request, sign

CHANNEL, MARK = "news", "~MARK~"

#: Of a message, as other benchmarks have it.
DATA = json.dumps({"text": MARK + "x" * 180})

ALONE, AT_ONCE, UNDER_WAY = 100, 300, 8

#: Seconds after which a client has not got what it should have.
LATE = 60.0


class Publisher:
    """A library for servers."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LATE)

    def trigger(self) -> None:
        """Trigger one event."""
        body = json.dumps({"name": "m", "channels": [CHANNEL], "data": DATA}).encode()
        fields = [
            (b"auth_key", KEY.encode()),
            (b"auth_timestamp", b"%d" % time.time()),
            (b"auth_version", b"1.0"),
            (b"body_md5", md5(body, usedforsecurity=False).hexdigest().encode()),
        ]
        path = f"/apps/{ID}/events"
        signature = sign(SECRET, of_request(b"POST", path.encode(), fields))
        query = b"&".join(b"%b=%b" % field for field in fields).decode()
        self._connection.request(
            "POST",
            f"{path}?{query}&auth_signature={signature}",
            body,
            {"Content-Type": "application/json"},
        )
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} {said!r}")


class Crowd:
    """Clients that follow a channel.

    :ivar got: messages of all of them.
    """

    def __init__(self, port: int, count: int) -> None:
        self.got = 0
        self._poll = select.epoll()
        self._clients: dict[int, socket.socket] = {}
        self._kept: dict[int, bytes] = {}
        for _ in range(count):
            client = _connected(port)
            client.setblocking(False)
            self._clients[client.fileno()] = client
            self._poll.register(client.fileno(), select.EPOLLIN)

    def until(self, got: int) -> None:
        """Read until there are so many."""
        late = time.monotonic() + LATE
        while self.got < got:
            for number, _ in self._poll.poll(1.0):
                # The end of the last read may be the begin of a mark.
                data = self._kept.get(number, b"") + self._clients[number].recv(1 << 16)
                self.got += data.count(MARK.encode())
                self._kept[number] = data[-len(MARK) + 1 :]
            if time.monotonic() > late:
                raise RuntimeError(f"{self.got} of {got} messages came")

    def be_alive(self) -> None:
        """Say so, as both protocols have it."""
        for client in self._clients.values():
            client.sendall(_PONG + _frame({"event": "pusher:ping", "data": {}}))

    def close(self) -> None:
        """End all."""
        for client in self._clients.values():
            client.close()
        self._poll.close()


_PONG = b"\x8a\x80\0\0\0\0"


def _frame(said: object) -> bytes:
    return requests.frame(json.dumps(said))


def _connected(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), LATE)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = b64encode(os.urandom(16)).decode()
    client.sendall(
        f"GET /app/{KEY}?protocol=7&client=js&version=8.6.0&flash=false HTTP/1.1\r\n"
        f"Host: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    _until(client, b"connection_established")
    client.sendall(_frame({"event": "pusher:subscribe", "data": {"auth": "", "channel": CHANNEL}}))
    _until(client, b"subscription_succeeded")
    return client


def _until(client: socket.socket, text: bytes) -> None:
    data = b""
    while text not in data:
        more = client.recv(4096)
        if not more:
            raise RuntimeError(f"no {text!r} in {data!r}")
        data += more


@attrs.frozen
class Turn:
    """One server, once.

    :ivar last: milliseconds until the last client had a trigger, the median.
    :ivar alone: of the server's processor, microseconds a delivery, where each is waited for.
    :ivar rate: deliveries a second where they are not; `at_once`: the same of them.
    """

    last: float
    alone: float
    rate: float
    at_once: float


def measure(peer: Peer, crowd: Crowd, clients: int) -> Turn:
    """One turn."""
    publisher = Publisher(peer.port)
    crowd.be_alive()
    began, spent, last = crowd.got, peer.cpu(), []
    for number in range(1, ALONE + 1):
        asked = time.perf_counter()
        publisher.trigger()
        crowd.until(began + number * clients)
        last.append(time.perf_counter() - asked)
    alone = (peer.cpu() - spent) / ALONE / clients
    crowd.be_alive()
    began, spent, asked = crowd.got, peer.cpu(), time.perf_counter()
    publishing = [threading.Thread(target=_many, args=(peer.port,)) for _ in range(UNDER_WAY)]
    for one in publishing:
        one.start()
    count = AT_ONCE // UNDER_WAY * UNDER_WAY * clients
    crowd.until(began + count)
    took = time.perf_counter() - asked
    for one in publishing:
        one.join()
    at_once = (peer.cpu() - spent) / count
    return Turn(statistics.median(last) * 1e3, alone * 1e6, count / took, at_once * 1e6)


def _many(port: int) -> None:
    publisher = Publisher(port)
    for _ in range(AT_ONCE // UNDER_WAY):
        publisher.trigger()


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pusher", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=5)
    asked = parser.parse_args()
    allow_files()
    os.sched_setaffinity(0, {int(GENERATOR_CORE)})
    kinds: dict[str, type[Peer]] = {"takotwist": PusherTako, "soketi": Soketi}
    turns: dict[str, list[Turn]] = {name: [] for name in kinds}
    with tempfile.TemporaryDirectory(prefix="takotwist-bench-") as root, ExitStack() as running:
        served: dict[str, tuple[Peer, Crowd]] = {}
        for name, kind in kinds.items():
            folder = Path(root) / name
            folder.mkdir()
            peer = kind(folder)
            peer.start()
            running.callback(peer.stop)
            crowd = Crowd(peer.port, asked.clients)
            running.callback(crowd.close)
            served[name] = peer, crowd
        for _ in range(asked.turns):
            for name, (peer, crowd) in served.items():
                turns[name].append(measure(peer, crowd, asked.clients))
    print(f"{asked.clients} clients of one channel; medians of {asked.turns} turns of each server")
    for field, what in (
        ("last", "ms until the last client has it"),
        ("alone", "us of the server's processor a delivery"),
        ("rate", "deliveries a second, eight triggers under way"),
        ("at_once", "us of the server's processor a delivery then"),
    ):
        ours, theirs = (
            statistics.median(getattr(turn, field) for turn in turns[name]) for name in kinds
        )
        print(f"    {what}: {ours:,.1f}; soketi {theirs:,.1f}; ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
