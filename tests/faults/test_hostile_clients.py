"""Clients that read nothing, say nothing, never finish, or say far too much.

Each kind comes in numbers while somebody else publishes and receives.  What is
checked is always the same: the server's memory, that the others are served, and
that it lets go of whom it has no reason to keep.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from twisted.trial.unittest import SynchronousTestCase

from tests.codecs.websocket_reader import client_frame
from tests.faults.seen import say
from tests.faults.watching import Canary, cpu_seconds
from tests.sockets.readers import SseReader, WebSocketReader
from tests.sockets.server_process import FAST, ServerProcess, wait_until

MIB = 1 << 20

HELLO = (
    b"GET /_tako/channels/chat?roomId=other HTTP/1.1\r\nHost: localhost\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class HostileTests(SynchronousTestCase):
    """One server, TLS too, for all of them."""

    def setUp(self) -> None:
        self.server = ServerProcess(FAST, tls=True)
        self.addCleanup(self.server.close)
        self.server.start()
        self._open: list[socket.socket] = []
        self.addCleanup(lambda: [one.close() for one in self._open])

    @contextlib.contextmanager
    def bearing(self, what: str, *, most: int = 40 * MIB, patience: float = 5.0) -> Iterator[None]:
        """While in it, others are served within `patience` and memory grows by at most `most`."""
        server = self.server
        before, used, began = server.memory, cpu_seconds(server.pid), time.monotonic()
        with Canary(server, patience) as canary:
            wait_until(lambda: canary.delivered > 0 or canary.failed, "the first message")
            yield
        grown = server.memory - before
        say(
            what,
            f"{grown / MIB:+.1f} MiB, {cpu_seconds(server.pid) - used:.1f} s of processor in"
            f" {time.monotonic() - began:.1f} s; others: {canary.delivered} messages,"
            f" the slowest {canary.slowest * 1000:.0f} ms",
        )
        self.assertLess(grown, most)
        server.assert_clean()

    def connect(self, *, tls: bool = False, alpn: str | None = None) -> socket.socket:
        """A connection, which is closed when the test is over."""
        port = self.server.tls_port if tls else self.server.port
        one = socket.create_connection(("127.0.0.1", port), timeout=20)
        if tls:
            context = self.server.trust
            if alpn is not None:
                context.set_alpn_protocols([alpn])
            one = context.wrap_socket(one, server_hostname="localhost")
        self._open.append(one)
        return one

    def upgraded(self) -> socket.socket:
        """A WebSocket of the chat."""
        one = self.connect()
        one.sendall(HELLO)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += one.recv(4096)
        self.assertIn(b" 101 ", answer)
        return one

    def ends(self, one: socket.socket, seconds: float = 20.0) -> bytes:
        """What comes until the server closes.

        :raises TimeoutError: it does not.
        """
        one.settimeout(seconds)
        got = b""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError, ssl.SSLError):
            while data := one.recv(65536):
                got = (got + data)[-65536:]
        return got

    def closed_with(self, one: socket.socket, code: bytes) -> None:
        """The server says `code`; nobody waits for the rest of the closing."""
        one.settimeout(20)
        got = b""
        with contextlib.suppress(ConnectionResetError):
            while code not in got:
                data = one.recv(65536)
                self.assertTrue(data, "the connection ended without its code")
                got = got[-8:] + data

    def pour(self, one: socket.socket, data: bytes, times: int) -> None:
        """Send `data` again and again, until all is sent or the server has gone."""
        one.settimeout(20)
        with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
            for _ in range(times):
                one.sendall(data)

    # clients that do not read

    def test_never_read(self) -> None:
        """Subscribers that never read, and some that read a byte a second: what waits for each is
        bounded, and one that begins to read gets everything."""
        server = self.server
        slow = []
        for kind in (SseReader, WebSocketReader):
            for _ in range(15):
                reader = kind(server.port, "chat", {"roomId": "big"}, "0", receive_buffer=4096)
                self.addCleanup(reader.close)
                reader.begin()
                slow.append(reader)
        over = threading.Event()

        def drip() -> None:
            while not over.wait(1.0):
                for reader in slow[:5]:
                    reader.read(1)

        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        count = 300
        with self.bearing("30 subscribers that do not read 9 MiB"), server.private() as private:
            for start in range(0, count, 10):
                batch = [
                    {"type": "msg", "data": [n, "x" * 30_000]} for n in range(start, start + 10)
                ]
                answer = private.post("/channels/chat?roomId=big", content=json.dumps(batch))
                self.assertEqual(answer.status_code, 200)
            time.sleep(1.0)
        over.set()
        dripping.join(30)
        for reader in (slow[0], slow[-1]):
            reader.read_until(count)
            self.assertEqual([one["data"][0] for one in reader.messages], list(range(count)))

    # clients that never finish

    def test_never_finish(self) -> None:
        """Half a request, half a TLS handshake, and a TLS connection that asks nothing are let go
        after the time for a head; those and half of HTTP/2's preface take little of us."""
        with self.bearing("50 each of four kinds of unfinished handshakes"):
            kinds: dict[str, list[socket.socket]] = {"plain": [], "tls": [], "asks": [], "h2": []}
            for _ in range(50):
                kinds["plain"].append(self.connect())
                kinds["plain"][-1].sendall(HELLO[:-20])
                raw = socket.create_connection(("127.0.0.1", self.server.tls_port))
                self._open.append(raw)
                raw.sendall(b"\x16\x03\x01\x02\x00\x01")
                kinds["tls"].append(raw)
            for _ in range(10):
                kinds["asks"].append(self.connect(tls=True))
                kinds["h2"].append(self.connect(tls=True, alpn="h2"))
                kinds["h2"][-1].sendall(b"PRI * HTTP/2.0\r\n\r\nSM")
            began = time.monotonic()
            # HTTP/2 has no head to wait for: its connections go with the idle timeout.
            for one in kinds["plain"] + kinds["tls"] + kinds["asks"]:
                self.ends(one, 30)
            self.assertLess(time.monotonic() - began, 40)

    def test_slow_bodies(self) -> None:
        """Publishes that send their bodies byte by byte take nothing from others."""
        head = (
            b"POST /_tako/channels/chat?roomId=other HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: 60000\r\n\r\n"
        )
        with self.bearing("100 publishes whose bodies come byte by byte", most=20 * MIB):
            ones = [self.connect() for _ in range(100)]
            for one in ones:
                one.sendall(head)
            for _ in range(20):
                for one in ones:
                    with contextlib.suppress(ConnectionError):
                        one.sendall(b"{")
                time.sleep(0.05)

    # clients that say too much

    def test_huge_heads(self) -> None:
        """Heads without end: 431, and gone."""
        with self.bearing("30 heads that do not end", most=20 * MIB):
            for number in range(30):
                one = self.connect()
                one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
                line = b"X-A: " + b"a" * 100_000 if number % 2 else b"X-A: a\r\n" * 10_000
                self.pour(one, line, 5)
                self.assertRegex(self.ends(one) or b"HTTP/1.1 431 ", b"^HTTP/1.1 431 ")

    def test_fragments(self) -> None:
        """A message in endless fragments ends with 1009, however small they are."""
        first = client_frame(1, b"a", fin=False)
        for what, part, times in (
            ("two bytes", client_frame(0, b"aa", fin=False) * 1000, 140),
            ("64 KiB", client_frame(0, b"a" * 65536, fin=False), 5),
        ):
            with self.bearing(f"2 messages in endless fragments of {what}"):
                for _ in range(2):
                    one = self.upgraded()
                    one.sendall(first)
                    self.pour(one, part, times)
                    self.closed_with(one, b"\x03\xf1")

    def test_empty_fragments(self) -> None:
        """Fragments that hold nothing take no memory."""
        empty = client_frame(0, b"", fin=False) * 1000
        with self.bearing("3 messages of 100,000 empty fragments each", most=6 * MIB):
            for _ in range(3):
                one = self.upgraded()
                one.sendall(client_frame(1, b'{"type":"msg",', fin=False))
                self.pour(one, empty, 100)
                one.sendall(client_frame(0, b'"data":"all"}'))
                one.settimeout(20)
                self.assertIn(b'"data":"all"', one.recv(4096))

    def test_pings(self) -> None:
        """100,000 pings from a client that reads no pong cost a bounded answer."""
        with self.bearing("3 clients with 100,000 pings each, of 100 bytes, who read nothing"):
            for _ in range(3):
                one = self.upgraded()
                self.pour(one, client_frame(9, b"p" * 100) * 1000, 100)

    def test_small_frames(self) -> None:
        """Frames that hold one byte, or come byte by byte, are dropped or answered in bounds."""
        with self.bearing("3 clients with 50,000 frames of one byte each"):
            for _ in range(3):
                self.pour(self.upgraded(), client_frame(1, b"1") * 1000, 50)
        one = self.upgraded()
        with self.bearing("frames that come byte by byte"):
            for byte in client_frame(1, b'{"type":"msg","data":1}') * 20:
                one.sendall(bytes([byte]))
            self.assertIn(b'"data":1', one.recv(4096))

    def test_header_of_a_huge_frame(self) -> None:
        """A frame that announces terabytes is refused at its header."""
        with self.bearing("20 frames that announce 2^40 bytes", most=10 * MIB):
            for _ in range(20):
                one = self.upgraded()
                one.sendall(b"\x81\xff" + (1 << 40).to_bytes(8, "big") + b"mask" + b"a" * 1000)
                self.closed_with(one, b"\x03\xf1")

    # HTTP/2

    def _http2(self, what: str, flood: Callable[[H2Connection, socket.socket], None]) -> None:
        with self.bearing(what):
            for _ in range(2):
                one = self.connect(tls=True, alpn="h2")
                one.settimeout(5)
                http = H2Connection(H2Configuration(client_side=True))
                http.initiate_connection()
                one.sendall(http.data_to_send())
                with contextlib.suppress(OSError):
                    flood(http, one)

    def test_rapid_reset(self) -> None:
        """Requests that are reset as soon as they are made, by the ten thousand."""
        headers = [
            (":method", "GET"),
            (":path", "/_tako/channels/chat?roomId=other"),
            (":scheme", "https"),
            (":authority", "localhost"),
        ]

        def flood(http: H2Connection, one: socket.socket) -> None:
            for _ in range(100):
                for _ in range(50):
                    stream = http.get_next_available_stream_id()
                    http.send_headers(stream, headers, end_stream=True)
                    http.reset_stream(stream, ErrorCodes.CANCEL)
                one.sendall(http.data_to_send())

        self._http2("5,000 requests, each reset at once, on two connections", flood)
        wait_until(lambda: self.server.connected <= 1, "that none is left")

    def test_http2_floods(self) -> None:
        """Pings and settings by the ten thousand, from a client that reads nothing."""
        ping = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + b"12345678"
        settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
        for what, frame in (("pings", ping), ("settings", settings)):
            self._http2(
                f"50,000 {what} on each of two connections that read nothing",
                lambda http, one, frame=frame: [  # type: ignore[misc]
                    one.sendall(frame * 1000) for _ in range(50)
                ],
            )
