"""Clients that read nothing, say nothing, never finish, or say far too much.

Each kind comes in numbers while somebody else publishes and receives.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time

from tests.codecs.websocket_reader import client_frame
from tests.faults.hostile import HELLO, MIB, HostileCase
from tests.sockets.readers import SseReader, WebSocketReader


class HostileTests(HostileCase):
    """Over HTTP/1.1 and WebSocket."""

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
        after the time for a head."""
        with self.bearing("50 each of two kinds of unfinished handshakes, 10 of a third"):
            kinds: dict[str, list[socket.socket]] = {"plain": [], "tls": [], "asks": []}
            for _ in range(50):
                kinds["plain"].append(self.connect())
                kinds["plain"][-1].sendall(HELLO[:-20])
                raw = socket.create_connection(("127.0.0.1", self.server.tls_port))
                self._open.append(raw)
                raw.sendall(b"\x16\x03\x01\x02\x00\x01")
                kinds["tls"].append(raw)
            for _ in range(10):
                kinds["asks"].append(self.connect(tls=True))
            began = time.monotonic()
            for one in [one for ones in kinds.values() for one in ones]:
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
                self.hears(one, b'"data":"all"')

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
            self.hears(one, b'"data":1')

    def test_header_of_a_huge_frame(self) -> None:
        """A frame that announces terabytes is refused at its header."""
        with self.bearing("20 frames that announce 2^40 bytes", most=10 * MIB):
            for _ in range(20):
                one = self.upgraded()
                one.sendall(b"\x81\xff" + (1 << 40).to_bytes(8, "big") + b"mask" + b"a" * 1000)
                self.closed_with(one, b"\x03\xf1")
