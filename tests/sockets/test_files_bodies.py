"""Bodies on real sockets: pipelines, readers that leave, and which way the bytes take."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from takotwist.streams.files import serve_file
from takotwist.streams.files.sinks import plain_socket
from tests.sockets.files_site import Quiet, listen

SIZE = 5_000_000
CONTENT = os.urandom(SIZE)


class Serving(Resource):
    """``/large`` and ``/small``, and what became of each."""

    isLeaf = True

    def __init__(self, folder: Path, **options: object) -> None:
        super().__init__()
        self.folder = folder
        self.options = options
        self.results: list[object] = []
        self.done: Deferred[None] = Deferred()
        self.direct: list[bool] = []

    def render(self, request: Request) -> int:
        self.direct.append(plain_socket(request) is not None)
        path = self.folder / request.path[1:].decode()
        serve_file(request, path, **self.options).addCallback(self._finished)  # type: ignore[arg-type]
        return NOT_DONE_YET

    def _finished(self, result: bool) -> None:
        self.results.append(result)
        if not self.done.called:
            self.done.callback(None)


class Reader(Protocol):
    """Sends bytes, and keeps what comes until the other side closes."""

    def __init__(self, request: bytes, leave_after: int | None = None) -> None:
        self.request = request
        self.leave_after = leave_after
        self.received = bytearray()
        self.closed: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self.request)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if self.leave_after is not None and len(self.received) >= self.leave_after:
            assert self.transport is not None
            self.transport.abortConnection()  # type: ignore[attr-defined]

    def connectionLost(self, reason: object = None) -> None:
        self.closed.callback(bytes(self.received))


class Bodies(TestCase):
    """Plaintext HTTP/1.1."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.large = folder / "large"
        self.large.write_bytes(CONTENT)
        (folder / "small").write_bytes(CONTENT[:1000])
        self.resource = Serving(folder)
        self.descriptors = descriptors()

    def read(self, request: bytes, leave_after: int | None = None) -> Deferred[bytes]:
        """Connect, send `request`, read to the end."""
        port = listen(self, self.resource)
        reader = Reader(request, leave_after)
        factory = ClientFactory.forProtocol(lambda: reader)  # type: ignore[arg-type]
        factory.noisy = False
        reactor.connectTCP("127.0.0.1", port, factory)  # type: ignore[attr-defined]
        return reader.closed

    async def test_pipeline(self) -> None:
        """Requests in one packet are answered in order, head before body, none lost."""
        ask = b"%s /%s HTTP/1.1\r\nHost: x\r\n%s\r\n"
        received = await self.read(
            ask % (b"GET", b"small", b"")
            + ask % (b"GET", b"large", b"")
            + ask % (b"HEAD", b"large", b"")
            + ask % (b"GET", b"large", b"Range: bytes=7-4000006\r\n")
            + ask % (b"GET", b"missing", b"")
            + ask % (b"GET", b"large", b"Range: bytes=0-99999,1000000-1999999\r\n")
            + ask % (b"GET", b"small", b"Connection: close\r\n")
        )
        self.assertEqual(self.resource.results, [True] * 7)
        for body in (CONTENT[:1000], CONTENT, b"", CONTENT[7:4_000_007], b"404 Not Found\n"):
            head, received = split_head(received)
            if b"HTTP/1.1 200" in head and not body:
                self.assertIn(b"\r\nContent-Length: %d" % SIZE, head)
            self.assertTrue(received.startswith(body), head)
            received = received[len(body) :]
        head, received = split_head(received)
        self.assertIn(b"multipart/byteranges", head)
        length = int(head.partition(b"Content-Length: ")[2].split()[0])
        self.assertIn(CONTENT[1_000_000:2_000_000], received[:length])
        head, received = split_head(received[length:])
        self.assertEqual(received, CONTENT[:1000])
        self.assertTrue(all(self.resource.direct))
        self.assertEqual(descriptors(), self.descriptors)

    async def test_http_1_0(self) -> None:
        """A reader of HTTP/1.0 gets the whole file before the connection closes."""
        received = await self.read(b"GET /large HTTP/1.0\r\n\r\n")
        self.assertTrue(split_head(received)[1] == CONTENT)

    async def test_reader_leaves(self) -> None:
        """A reader that resets the connection in the middle leaves nothing open."""
        self.large.write_bytes(CONTENT * 10)
        await self.read(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n", leave_after=1_000_000)
        await self.resource.done
        self.assertEqual(self.resource.results, [False])
        self.assertEqual(descriptors(), self.descriptors)

    async def test_access_log_knows_the_length(self) -> None:
        """What goes past the transport's buffer is counted all the same."""
        lengths: list[int] = []
        self.patch(Quiet, "log", lambda _, request: lengths.append(request.sentLength))
        await self.read(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        self.assertEqual(lengths, [SIZE])

    async def test_stalled_reader(self) -> None:
        """A reader that takes nothing is dropped; its connection ends with a reset."""
        self.large.write_bytes(CONTENT * 10)
        self.resource.options = {"stall_timeout": 0.2}
        port = listen(self, self.resource)
        with socket.create_connection(("127.0.0.1", port)) as reader:
            reader.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            await self.resource.done
            self.assertEqual(self.resource.results, [False])
            self.assertRaises(ConnectionResetError, drain, reader)

    async def test_slow_reader_is_not_stalled(self) -> None:
        """A reader slower than the socket's buffer is told from a dead one by what it takes."""
        self.large.write_bytes(CONTENT * 10)
        clock = Clock()
        self.resource.options = {"stall_timeout": 0.5, "reactor": clock}
        port = listen(self, self.resource)
        with socket.socket() as reader:
            # A small window, so that what the reader takes is acknowledged soon.
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            reader.connect(("127.0.0.1", port))
            reader.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            reader.setblocking(False)
            # In these two seconds it takes less than makes the server's socket writable again, and
            # in each half more than its own buffer holds: so some of it was acknowledged.
            for _ in range(4):
                left = 150_000
                while left:
                    await deferLater(reactor, 0.01)  # type: ignore[arg-type]
                    with contextlib.suppress(BlockingIOError):
                        left -= len(reader.recv(left))
                clock.advance(0.5)
            self.assertEqual(self.resource.results, [])
        await self.resource.done

    async def test_unix_socket(self) -> None:
        """A Unix socket takes the direct way too."""
        folder = Path(self.mktemp())
        folder.mkdir()
        relative = os.path.relpath(folder / "socket")
        site = Quiet(self.resource, reactor=reactor)
        port = reactor.listenUNIX(relative, site)  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        reader = Reader(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        factory = ClientFactory.forProtocol(lambda: reader)  # type: ignore[arg-type]
        factory.noisy = False
        reactor.connectUNIX(relative, factory)  # type: ignore[attr-defined]
        self.assertTrue(split_head(await reader.closed)[1] == CONTENT)
        self.assertEqual(self.resource.direct, [True])


def descriptors() -> int:
    """How many regular files this process has open."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{name}").endswith(("/large", "/small"))
        except FileNotFoundError:
            continue
    return count


def split_head(received: bytes) -> tuple[bytes, bytes]:
    """The head of an answer, and what follows it."""
    head, _, rest = received.partition(b"\r\n\r\n")
    return head, rest


def drain(reader: socket.socket) -> None:
    """Read until the end."""
    reader.setblocking(True)
    while reader.recv(1_000_000):
        pass
