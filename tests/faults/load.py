"""Who publishes to and who reads from a server that is soaked.

Three publish, each in a way of its own and each message with its publisher's name
and number.  Rule: nobody here keeps what it saw, only the last number of each
publisher, so that a run may be as long as one likes.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.sockets.readers import Reader
from tests.sockets.server_process import ServerProcess

ROOM = {"roomId": "lobby"}

TARGET = "/_tako/channels/chat?roomId=lobby"

#: Messages of one array.
ARRAY = 10

#: Seconds that one who comes and goes stays and stays away.
STAYS, AWAY = 0.7, 0.2


class InOrder:
    """Sees messages and keeps only the last number of each publisher.

    :ivar last: publisher -> its last number.
    :ivar count: messages so far.
    """

    def __init__(self) -> None:
        self.last: dict[str, int] = {}
        self.count = 0
        self._id = 0

    def __call__(self, message: dict[str, Any]) -> None:
        """:raises AssertionError: it is not the next one."""
        id, (by, number) = int(message["id"]), message["data"]
        expected = self.last.get(by, -1) + 1
        assert id > self._id, f"{id} came after {self._id}"
        assert number == expected, f"{by}: {number} came where {expected} is next"
        self.last[by], self._id = number, id
        self.count += 1


class Publisher(threading.Thread):
    """Publishes its numbers one answer after the other, so many messages a second.

    :param rate: `None` for as many as are answered.
    :ivar published: messages that were acknowledged.
    :ivar last_id: of the newest of them.
    :ivar slowest: seconds that the slowest answer took.
    """

    by: str
    at_once = 1

    def __init__(self, server: ServerProcess, rate: float | None) -> None:
        super().__init__(daemon=True)
        self.server = server
        self._rate = rate
        self.published = self.last_id = 0
        self.slowest = 0.0
        self.failure: BaseException | None = None
        self._over = threading.Event()

    def run(self) -> None:
        try:
            ways = self.publishing()
            next(ways)
            due = time.monotonic()
            while not self._over.is_set():
                if self._rate is not None:
                    # Who was held up is not in a hurry afterwards.
                    due = max(due + self.at_once / self._rate, time.monotonic())
                    self._over.wait(due - time.monotonic())
                began = time.monotonic()
                numbers = range(self.published, self.published + self.at_once)
                self.last_id = ways.send([[self.by, number] for number in numbers])
                self.published += self.at_once
                self.slowest = max(self.slowest, time.monotonic() - began)
            ways.close()
        except BaseException as failure:
            self.failure = failure

    def publishing(self) -> Any:
        """A generator that is sent the data of messages and yields the last one's id."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop.  :raises BaseException: what went wrong, a refusal too."""
        self._over.set()
        self.join(60)
        assert not self.is_alive(), "a publish that is not answered"
        if self.failure is not None:
            raise self.failure


class OneByOne(Publisher):
    """Over HTTP, a message a request."""

    by = "one by one"

    def publishing(self) -> Any:
        with self.server.private(timeout=30) as private:
            id = 0
            while True:
                (data,) = yield id
                answer = private.post(TARGET, json={"type": "msg", "data": data})
                assert answer.status_code == 200, answer.text
                id = int(answer.json()["id"])


class Arrays(Publisher):
    """Over HTTP, an array a request."""

    by = "arrays"
    at_once = ARRAY

    def publishing(self) -> Any:
        with self.server.private(timeout=30) as private:
            id = 0
            while True:
                several = yield id
                body = [{"type": "msg", "data": data} for data in several]
                answer = private.post(TARGET, json=body)
                assert answer.status_code == 200, answer.text
                id = int(answer.json()[-1]["id"])


class Frames(Publisher):
    """Over a connection to many topics, through the app's handler."""

    by = "frames"

    def publishing(self) -> Any:
        url = f"ws://127.0.0.1:{self.server.port}/_tako/connect"
        with connect(
            url, subprotocols=[Subprotocol("tako.v1")], open_timeout=30, ping_interval=None
        ) as websocket:
            json.loads(websocket.recv(30))
            id = 0
            while True:
                (data,) = yield id
                frame = {"op": "publish", "ref": 1, "channel": "chat", "params": ROOM}
                websocket.send(json.dumps({**frame, "type": "msg", "data": data}))
                answer = json.loads(websocket.recv(30))
                assert answer["op"] == "ack", answer
                id = int(answer["id"])


PUBLISHERS: tuple[type[Publisher], ...] = (OneByOne, Arrays, Frames)


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


class Audience(threading.Thread):
    """Many who read and forget, and some who never read: load at little cost to this process.

    :ivar bytes: that came to all of them.
    """

    def __init__(self, server: ServerProcess, reading: int, silent: int) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self.failure: BaseException | None = None
        self._over = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._sockets = [self._connect(server) for _ in range(reading + silent)]
        for one in self._sockets[:reading]:
            self._selector.register(one, selectors.EVENT_READ)

    def _connect(self, server: ServerProcess) -> socket.socket:
        one = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        one.sendall(f"GET {TARGET} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return one

    def run(self) -> None:
        try:
            while not self._over.is_set():
                for one in self._ready():
                    data = one.recv(1 << 18)
                    assert data, "one of the audience was sent away"
                    self.bytes += len(data)
                # What has come meanwhile is taken in one go.
                self._over.wait(0.05)
        except BaseException as failure:
            self.failure = failure
        finally:
            for one in self._sockets:
                one.close()
            self._selector.close()

    def _ready(self) -> Iterator[socket.socket]:
        for key, _ in self._selector.select(0.2):
            assert isinstance(key.fileobj, socket.socket)
            yield key.fileobj

    def stop(self) -> None:
        """Leave.  :raises BaseException: what went wrong."""
        self._over.set()
        self.join(30)
        if self.failure is not None:
            raise self.failure
