"""Writing straight to real sockets: at once, in order, whole, and whatever a peer does."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredQueue, ensureDeferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.server import NOT_DONE_YET

from takotwist.core.fanout import FEW, Group, Subscription
from takotwist.core.send_queue import FlushBatch, SendQueue
from takotwist.core.topic import Topic
from takotwist.streams.http.site import make_site
from takotwist.streams.seams import socket as direct_send
from takotwist.streams.seams.socket import RECORD, blocked_sends, direct_write, straight_send
from takotwist.streams.sse.stream import EventStream
from takotwist.streams.websocket.config import WebSocketConfig
from takotwist.streams.websocket.upgrade import WebSocketUpgrade
from takotwist.tls.context import ServerTls, over_tls
from takotwist.tls.development_ca import ensure_development_certificate
from tests.streams.exchange import Answering

PATIENCE = 60.0

TOPIC = Topic.of("chat", {})

#: More than any socket's buffer takes at once.
LARGE = b"".join(b"%07d " % number for number in range(2_000_000))


class Server(Protocol):
    """One accepted connection."""

    def __init__(self) -> None:
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.factory.accepted.put(self)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.factory.heard.put(data)  # type: ignore[union-attr]

    def connectionLost(self, reason: object = None) -> None:
        self.lost.callback(None)


class Accepting(Factory):
    """Hands out what connects."""

    protocol = Server

    def __init__(self) -> None:
        self.accepted: DeferredQueue[Server] = DeferredQueue()
        self.heard: DeferredQueue[bytes] = DeferredQueue()


def read_all(client: socket.socket, size: int) -> bytes:
    """`size` bytes from a blocking socket."""
    parts: list[bytes] = []
    while size:
        part = client.recv(min(size, 2**20))
        assert part, "the connection has ended"
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class DirectSendCase(TestCase):
    """A listener on loopback, and blocking clients."""

    def listen(self, factory: Any) -> int:
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    def client(self, port: int) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.addCleanup(client.close)
        return client

    async def thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        outcome: Deferred[Any] = deferToThread(function, *arguments)
        return await outcome


class PlainTests(DirectSendCase):
    """On a TCP connection."""

    def setUp(self) -> None:
        self.factory = Accepting()
        self.port = self.listen(self.factory)

    async def connect(self) -> tuple[socket.socket, Server]:
        client = self.client(self.port)
        server = await self.factory.accepted.get()

        def gone() -> Deferred[None]:
            client.close()
            return server.lost

        self.addCleanup(gone)
        return client, server

    async def test_at_once(self) -> None:
        """What is written is with the client before the reactor has turned."""
        client, server = await self.connect()
        direct_write(server.transport)(b"now")
        self.assertEqual(client.recv(10), b"now")

    async def test_lost_before(self) -> None:
        """For a client that has gone there is a write, which does nothing."""
        client, server = await self.connect()
        client.close()
        await server.lost
        direct_write(server.transport)(b"late")

    async def test_never_before_what_waits(self) -> None:
        """Bytes that the transport holds leave first."""
        client, server = await self.connect()
        write = direct_write(server.transport)
        server.transport.write(b"one ")
        write(b"two ")
        server.transport.write(b"three ")
        write(b"four")
        self.assertEqual(await self.thread(read_all, client, 18), b"one two three four")
        write(b"five")
        self.assertEqual(client.recv(10), b"five")

    async def test_more_than_the_socket_takes(self) -> None:
        """What the kernel does not take follows, in order, and then writes are direct again."""
        client, server = await self.connect()
        write = direct_write(server.transport)
        write(LARGE)
        self.assertGreater(len(server.transport.dataBuffer or server.transport._tempDataBuffer), 0)
        write(b"end")
        got = await self.thread(read_all, client, len(LARGE) + 3)
        self.assertEqual(got, LARGE + b"end")
        while server.transport.dataBuffer:
            await self.thread(lambda: None)
        write(b"again")
        self.assertEqual(client.recv(10), b"again")

    async def test_after_the_end(self) -> None:
        """Writing to a connection that has gone does nothing, as with the transport."""
        client, server = await self.connect()
        write = direct_write(server.transport)
        client.close()
        await server.lost
        write(b"nobody")

    async def test_one_fails_in_the_middle(self) -> None:
        """A reset in the middle of a fan-out is that connection's end, and no other's affair."""
        flush_batch = FlushBatch()
        ends = [await self.connect() for _ in range(5)]
        send_queues = []
        for _, server in ends:
            send_queue = SendQueue(1000, flush_batch)
            send_queue.connect("form", direct_write(server.transport))
            send_queues.append(send_queue)
        broken, lost = ends[2]
        broken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        broken.close()
        for word in (b"first ", b"second"):
            for send_queue in send_queues:
                self.assertTrue(send_queue.push(word))
            flush_batch.end()
        for index in (0, 1, 3, 4):
            self.assertEqual(read_all(ends[index][0], 12), b"first second")
        await lost.lost

    async def test_straight(self) -> None:
        """A group on real sockets: one that does not read, one that was reset, one that somebody
        else wrote to, one that closes; the others never wait for them, and all is in order."""
        flush_batch, group = FlushBatch(), Group()
        blocked = blocked_sends(reactor)
        ends = [await self.connect() for _ in range(FEW + 3)]
        send_queues = []
        for _, server in ends:
            write = direct_write(server.transport)
            send_queue = SendQueue(1000, flush_batch)
            send_queue.connect("form", write, at_once=True, send=straight_send(write))
            group.add(Subscription(TOPIC, 0, send_queue, lambda *_: None, lambda refusal: None))
            send_queues.append(send_queue)
        silent, reset, written, closing = (ends[index][0] for index in range(4))
        fine = [end for end, _ in ends[4:]]
        self.assertEqual(group.hand(LARGE, 1.0, blocked), [])
        # The transports hold what the kernel did not take, and now everybody but one reads.
        readers = [self.thread(read_all, end, len(LARGE)) for end in (written, closing, *fine)]
        for reading in [ensureDeferred(one) for one in readers]:
            self.assertEqual(await reading, LARGE)
        while len(blocked()) > 2:
            await self.thread(lambda: None)
        reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        reset.close()
        ends[2][1].transport.write(b"theirs ")
        send_queues[3].discard()
        for word in (b"first ", b"second"):
            self.assertEqual(len(group.hand(word, 2.0, blocked)), 1, "the one that was discarded")
        for one in fine:
            # Nothing of theirs waits for the reactor.
            self.assertEqual(read_all(one, 12), b"first second")
        self.assertEqual(await self.thread(read_all, written, 19), b"theirs first second")
        self.assertEqual(
            await self.thread(read_all, silent, len(LARGE) + 12), LARGE + b"first second"
        )
        await ends[1][1].lost
        closing.setblocking(False)
        self.assertRaises(BlockingIOError, closing.recv, 1)


class TlsTests(DirectSendCase):
    """On TLS over a TCP connection."""

    def setUp(self) -> None:
        files = ensure_development_certificate(Path(self.mktemp()), [], datetime.now(UTC))
        self.factory = Accepting()
        tls = ServerTls(files.certificate, files.key)
        self.port = self.listen(over_tls(self.factory, tls, reactor))  # type: ignore[arg-type]
        self.context = ssl.create_default_context(cafile=files.authority)

    def handshake(self) -> ssl.SSLSocket:
        client = self.context.wrap_socket(self.client(self.port), server_hostname="localhost")
        client.sendall(b"here")
        return client

    async def connect(self) -> tuple[ssl.SSLSocket, Server]:
        client = await self.thread(self.handshake)
        server = await self.factory.accepted.get()
        await self.factory.heard.get()

        def gone() -> Deferred[None]:
            client.close()
            return server.lost

        self.addCleanup(gone)
        return client, server

    async def test_at_once(self) -> None:
        """What is written is with the client before the reactor has turned."""
        client, server = await self.connect()
        direct_write(server.transport)(b"now")
        self.assertEqual(client.recv(10), b"now")

    async def test_all_sizes_in_order(self) -> None:
        """One byte, one record, a byte more, and more than the socket takes: in order."""
        client, server = await self.connect()
        write = direct_write(server.transport)
        sent = [b"a", LARGE[:RECORD], b"b", LARGE[: RECORD + 1], b"c", LARGE, b"d", LARGE[:100]]
        for data in sent:
            write(data)
        whole = b"".join(sent)
        self.assertEqual(await self.thread(read_all, client, len(whole)), whole)

    async def test_never_before_what_waits(self) -> None:
        """Bytes that the transport holds leave first."""
        client, server = await self.connect()
        write = direct_write(server.transport)
        server.transport.write(b"one ")
        write(b"two")
        self.assertEqual(await self.thread(read_all, client, 7), b"one two")

    async def test_after_the_end(self) -> None:
        """Writing to a connection that closes or has gone does nothing."""
        client, server = await self.connect()
        write = direct_write(server.transport)
        server.transport.loseConnection()
        write(b"too late")
        self.assertEqual(await self.thread(client.recv, 10), b"")
        client.close()
        await server.lost
        write(b"nobody")


class PublicTlsTests(TlsTests):
    """On TLS where pyOpenSSL is made of something else than today."""

    def setUp(self) -> None:
        self.patch(direct_send, "_lib", None)
        super().setUp()


class NoDelayTests(DirectSendCase):
    """Nagle's algorithm would hold small messages back for tens of milliseconds."""

    async def _opened(self, head: bytes, answer: Callable[[Any], Any]) -> int:
        opened: Deferred[Any] = Deferred()

        def render(request: Any) -> Any:
            transport = request.channel.transport
            # Twisted's channel switches it off for every connection; so that this
            # test can fail, it is switched on again first.
            transport.setTcpNoDelay(False)
            outcome = answer(request)
            opened.callback(transport)
            return outcome

        port = self.listen(make_site(Answering(render), reactor))  # type: ignore[arg-type]
        client = self.client(port)
        client.sendall(head)
        transport = await opened
        value: int = transport.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        lost: Deferred[None] = Deferred()
        transport.protocol.connectionLost = _then(transport.protocol.connectionLost, lost)
        client.close()
        await lost
        return value

    async def test_event_stream(self) -> None:
        """The socket of an event stream has TCP_NODELAY."""

        def answer(request: Any) -> Any:
            EventStream(request).open()
            return NOT_DONE_YET

        head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        self.assertNotEqual(await self._opened(head, answer), 0)

    async def test_websocket(self) -> None:
        """The socket of a WebSocket has TCP_NODELAY."""
        upgrade = WebSocketUpgrade(WebSocketConfig(), reactor)  # type: ignore[arg-type]

        def answer(request: Any) -> Any:
            upgrade.upgrade(request, on_message=lambda payload, is_binary: None)
            return NOT_DONE_YET

        head = (
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        self.assertNotEqual(await self._opened(head, answer), 0)


def _then(method: Callable[..., Any], told: Deferred[None]) -> Callable[..., Any]:
    def both(*arguments: Any) -> Any:
        try:
            return method(*arguments)
        finally:
            told.callback(None)

    return both
