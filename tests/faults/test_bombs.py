"""Little that is sent and much that it says: a compressed bomb against a WebSocket.

Rule: what is measured is the peak, since what was taken is given back at once.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase
from websockets.sync.client import connect

from takotwist.streams.websocket.route import Deflate, WebSocket, WebSocketConfig
from tests.codecs.websocket_reader import client_frame
from tests.faults.compressing_site import MOST
from tests.faults.hostile import HELLO, HostileCase, asked
from tests.faults.seen import say
from tests.faults.watching import cpu_seconds
from tests.sockets.server_process import wait_until
from tests.streams.websocket_client import WebSocketExchange, deflated

MIB = 1 << 20

OFFER = "Sec-WebSocket-Extensions: permessage-deflate"

ASKING = HELLO.replace(b"Upgrade: websocket", f"{OFFER}\r\nUpgrade: websocket".encode())


def in_frames(compressed: bytes, pieces: int) -> list[bytes]:
    """A compressed binary message, in so many frames."""
    size = -(-len(compressed) // pieces)
    return [
        client_frame(
            0 if start else 2,
            compressed[start : start + size],
            rsv=0 if start else 4,
            fin=start + size >= len(compressed),
        )
        for start in range(0, len(compressed), size)
    ]


class BombTests(SynchronousTestCase):
    """50 MB of zeros, deflated to a thousandth, where a message may have 1 MiB."""

    def test_bomb(self) -> None:
        """It ends with 1009, in one frame and in many, and is never held unpacked."""
        bomb = deflated(bytes(50_000_000))
        for pieces in (1, 10):
            taken: list[object] = []

            async def handler(ws: WebSocket, taken: list[object] = taken) -> None:
                async for message in ws:
                    taken.append(message)

            config = WebSocketConfig(
                ping_interval=None, deflate=Deflate(), max_message_size=MIB, max_frame_size=MIB
            )
            client = WebSocketExchange(handler, config, OFFER)
            self.assertIn("permessage-deflate", client.head[1]["sec-websocket-extensions"])
            frames = in_frames(bomb, pieces)
            tracemalloc.start()
            try:
                client.send(*frames)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            say(
                f"50 MB in {len(bomb)} bytes, {pieces} frames",
                f"{peak / MIB:.1f} MiB at the most",
            )
            self.assertEqual(client.closed_with(), 1009)
            self.assertEqual(taken, [])
            self.assertLess(peak, 6 * MIB)


#: The process of a test finds the tests from there.
ROOT = Path(__file__).parents[2]


class SocketBombTests(SynchronousTestCase):
    """200 MB of zeros against a process that takes compressed messages, on a real port."""

    timeout = 120

    def setUp(self) -> None:
        command = [sys.executable, "-m", "tests.faults.compressing_site"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        assert self.process.stdout is not None
        self.addCleanup(self.process.stdout.close)
        self.port = int(self.process.stdout.readline())
        self._open: list[socket.socket] = []
        self.addCleanup(lambda: [one.close() for one in self._open])

    def _peak(self) -> int:
        """The most memory that the process has ever had, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024

    def _upgraded(self) -> socket.socket:
        one = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        self._open.append(one)
        answer = asked(one, ASKING)
        self.assertIn(b"permessage-deflate", answer)
        return one

    def _suffer(self, what: str, frames: list[bytes], *, closes: bool) -> None:
        """Ten connections send `frames`, and somebody else asks meanwhile and is answered."""
        over, waited, failures = threading.Event(), list[float](), list[BaseException]()
        # Of the server's processor, for each answer: by the clock it is the machine's too.
        kept: list[float] = []

        def asks() -> None:
            try:
                with connect(
                    f"ws://127.0.0.1:{self.port}/", open_timeout=60, ping_interval=None
                ) as ws:
                    while not over.wait(0.02):
                        began, used = time.monotonic(), cpu_seconds(self.process.pid)
                        ws.send("x" * 5000)
                        assert ws.recv(60) == "5000"
                        kept.append(cpu_seconds(self.process.pid) - used)
                        waited.append(time.monotonic() - began)
            except BaseException as failure:
                failures.append(failure)

        before = self._peak()
        somebody = threading.Thread(target=asks, daemon=True)
        somebody.start()
        wait_until(lambda: waited or failures, "the first answer to somebody else")
        began_with = len(waited)
        ones = [self._upgraded() for _ in range(10)]
        for one in ones:
            try:
                for frame in frames:
                    one.sendall(frame)
            except ConnectionError:
                self.assertTrue(closes)
        for one in ones:
            self._answered(one, closes)
        wait_until(lambda: len(waited) > began_with or failures, "one more")
        over.set()
        somebody.join(90)
        self.assertFalse(somebody.is_alive(), "somebody else is not answered")
        grown = self._peak() - before
        say(
            f"{what}, on each of 10 connections",
            f"{grown / MIB:+.1f} MiB at the most; others: {len(waited)} answers, the slowest"
            f" {max(waited) * 1000:.0f} ms, with {max(kept) * 1000:.0f} of work",
        )
        self.assertEqual(failures, [])
        self.assertLess(max(kept), 2)
        self.assertLess(grown, 24 * MIB)

    def _answered(self, one: socket.socket, closes: bool) -> None:
        """1009, or the length of the last message."""
        wanted = b"\x03\xf1message-too-large" if closes else b"\x81\x0277"
        got = b""
        while wanted not in got:
            try:
                data = one.recv(65536)
            except ConnectionResetError:
                data = b""
            self.assertTrue(data, f"ended after {got[-20:]!r}")
            got = (got + data)[-200:]

    def test_one_frame(self) -> None:
        """In one frame: 1009."""
        bomb = deflated(bytes(200_000_000))
        self.assertLess(len(bomb), MOST)
        frame = client_frame(2, bomb, rsv=4)
        self._suffer(f"200 MB in a frame of {len(bomb)} bytes", [frame], closes=True)

    def test_many_frames(self) -> None:
        """In a hundred: 1009."""
        bomb = deflated(bytes(200_000_000))
        frames = in_frames(bomb, 100)
        self._suffer(f"200 MB in {len(frames)} frames", frames, closes=True)

    def test_many_messages(self) -> None:
        """In messages that may just be: each is unpacked when its turn comes, and answered."""
        one = client_frame(1, deflated(b"x" * 1_000_000), rsv=4)
        frames = [one] * 50 + [client_frame(1, b"x" * 77)]
        self._suffer(f"50 messages of 1 MB in {len(one)} bytes", frames, closes=False)


class ChannelBombTests(HostileCase):
    """Channels take no compression."""

    def test_not_agreed(self) -> None:
        """A client that offers it is answered without, and one that sends a bomb all the same gets
        1002."""
        bomb = deflated(bytes(50_000_000))
        with self.bearing("10 bombs of 50 MB at channels, which agreed to no compression"):
            for _ in range(10):
                one = self.connect()
                answer = asked(one, ASKING)
                self.assertIn(b" 101 ", answer)
                self.assertNotIn(b"permessage-deflate", answer)
                one.sendall(client_frame(1, bomb[:1000], rsv=4))
                self.closed_with(one, b"\x03\xea")
