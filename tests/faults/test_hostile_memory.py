"""Clients that would have the server keep what they send: begun and not ended, named, unread."""

from __future__ import annotations

import contextlib
import json
import socket

from tests.codecs.websocket_reader import client_frame
from tests.faults.hostile import HELLO, MIB, HostileCase, asked
from tests.faults.reaching import MSG, post
from tests.sockets.server_process import FAST, ServerProcess, wait_until

MUX = HELLO.replace(
    b"/_tako/channels/chat?roomId=other HTTP/1.1",
    b"/_tako/connect HTTP/1.1\r\nSec-WebSocket-Protocol: tako.v1",
)

CONFIG = f"{FAST}input_seconds = 4\nmax_unfinished_bytes = {16 * MIB}\n"


class MemoryTests(HostileCase):
    """Sixteen megabytes for what has begun, four seconds for it to come on."""

    def setUp(self) -> None:
        super().setUp()
        self.server.close()
        self.server = ServerProcess(CONFIG, tls=True)
        self.addCleanup(self.server.close)
        self.server.start()

    def let_go(self, held: list[socket.socket]) -> None:
        """The server ends all of these connections by itself."""
        for one in held:
            self.ends(one, 90)

    def test_stalled_bodies(self) -> None:
        """120 bodies of a megabyte that never end: what is held is bounded, and then let go."""
        head = b"POST /_tako/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n"
        with self.bearing("120 stalled bodies of 1 MB", most=45 * MIB):
            held = []
            for _ in range(120):
                one = self.connect()
                with contextlib.suppress(ConnectionError):
                    one.sendall(head + b"x" * 1_000_000)
                held.append(one)
            self.let_go(held)

    def test_stalled_messages(self) -> None:
        """150 messages of a megabyte, whole frames and fragments, that never end."""
        whole = client_frame(1, b"x" * 1_000_000)[:-1]
        fragment = client_frame(1, b"x" * 1_000_000, fin=False)
        with self.bearing("150 stalled WebSocket messages of 1 MB", most=45 * MIB):
            held = []
            for number in range(150):
                one = self.connect()
                self.assertIn(b" 101 ", asked(one, MUX))
                with contextlib.suppress(ConnectionError):
                    one.sendall(fragment if number % 2 else whole)
                held.append(one)
            self.let_go(held)
        wait_until(lambda: self.server.connected == 0, "that they are gone")

    def test_long_names(self) -> None:
        """12 connections that follow 256 topics each, whose names are 200 kB long."""
        # Made once: to mask 600 MB takes longer than to refuse them.
        frames = []
        for number in range(256):
            topic = {"channel": "chat", "params": {"roomId": f"{number}" + "r" * 200_000}}
            said = {"op": "subscribe", "ref": number, **topic}
            frames.append(client_frame(1, json.dumps(said).encode()))
        with self.bearing("12 times 256 names of 200 kB", most=30 * MIB, patience=20):
            for _ in range(12):
                one = self.connect()
                self.assertIn(b" 101 ", asked(one, MUX))
                for frame in frames:
                    one.sendall(frame)
                self.closed_with(one, b'"ref":255,"code":"params-invalid"')

    def test_unread_answers(self) -> None:
        """60 who ask for megabytes and read nothing, while the bound is lower."""
        self.server.write_config(f"{CONFIG}max_unread_bytes = {16 * MIB}\n")
        self.server.reload()
        for number in range(50):
            post(self.server, [{**MSG, "data": [number, "x" * 60_000]}], "/channels/chat?roomId=a")
        path = b"GET /channels/chat/history?roomId=a&limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        # Beside what waits, four are read from the store at once, each held more than once.
        with self.bearing("60 unread answers of 3 MB", most=100 * MIB, patience=20):
            for _ in range(60):
                one = socket.socket()
                self._open.append(one)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                one.connect(("127.0.0.1", self.server.port))
                one.sendall(path)
            for one in self._open:
                one.settimeout(60)
                # It is answered, and may have been cut before it reads.
                with contextlib.suppress(ConnectionError):
                    one.recv(1)
