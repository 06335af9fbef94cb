"""A site in memory: bytes of a request in, the parsed answer out."""

from __future__ import annotations

import os
from contextlib import suppress
from http.client import HTTPResponse
from io import BytesIO
from pathlib import Path
from typing import IO, cast

import attrs
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from takotwist.streams.files import serve_file

#: The time in this world: Sun, 06 Nov 2033 08:49:37 GMT.
NOW = 2_014_793_377.0


class Serving(Resource):
    """Serves one file."""

    isLeaf = True

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.results: list[object] = []

    def render(self, request: Request) -> int:
        serve_file(request, self.path, stall_timeout=60).addBoth(self.results.append)
        return NOT_DONE_YET


@attrs.frozen
class Reply:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class SlowTransport(StringTransport):
    """Pauses its producer when 64 KiB wait, as a socket's transport does, until they are read."""

    full = False
    aborting = False

    def abortConnection(self) -> None:
        """Remember that it was asked for."""
        self.aborting = True

    def write(self, data: bytes) -> None:
        """Keep `data`; maybe pause."""
        super().write(data)
        if not self.full and len(self.value()) > 65536:
            self.full = True
            self.producer.pauseProducing()

    def read(self) -> bytes:
        """Take what waits, as a reader would; the producer may go on."""
        data: bytes = self.value()
        self.clear()
        if self.full:
            self.full = False
            self.producer.resumeProducing()
        return data


class Connection:
    """One HTTP/1.1 connection to `resource`, without a network."""

    def __init__(self, resource: IResource, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        if clock is None:
            self.clock.advance(NOW)
        self.transport = SlowTransport()
        self.site = Site(resource, reactor=self.clock)
        self.protocol = self.site.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def disconnect(self) -> None:
        """The reader goes away, and the transport says so as a socket's does."""
        self.transport.producer.stopProducing()
        self.protocol.connectionLost(Failure(ConnectionDone()))

    def send(self, target: str, method: str = "GET", **headers: str) -> None:
        """Send a request; an underscore in a header's name is a dash."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.protocol.dataReceived("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def received(self) -> bytes:
        """Read until nothing more comes."""
        received = b""
        while data := self.transport.read():
            received += data
        return received


def open_below(path: Path) -> list[str]:
    """What of `path`, or below it, this process has open.

    Not how many descriptors it has: one of an earlier test may go with its garbage meanwhile.
    """
    found = []
    for name in os.listdir("/proc/self/fd"):
        # The listing's own is gone by now.
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return [one for one in found if one.startswith(str(path.resolve()))]


def parse(data: bytes, method: str = "GET") -> Reply:
    """The answer in `data`, and nothing after it."""
    stream = BytesIO(data)
    response = HTTPResponse(cast("IO[bytes]", _Socket(stream)), method=method)  # type: ignore[arg-type]
    response.begin()
    body = response.read()
    rest = stream.read()
    if rest:
        raise AssertionError(f"after the answer came {rest[:80]!r}")
    return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, body)


def ask(resource: IResource, target: str, method: str = "GET", **headers: str) -> Reply:
    """One request on a connection of its own."""
    connection = Connection(resource)
    connection.send(target, method, **headers)
    return parse(connection.received(), method)


class _Socket:
    def __init__(self, stream: BytesIO) -> None:
        self._stream = stream

    def makefile(self, mode: str) -> BytesIO:
        # HTTPResponse closes what it read from; the rest is still wanted.
        self._stream.close = lambda: None  # type: ignore[method-assign]
        return self._stream
