"""Clients of HTTP/2 that begin and never finish, open no window, or flood.

Their frames are written by hand or by another library.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, StreamEnded
from h2.settings import SettingCodes, Settings
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.faults.hostile import HostileCase
from tests.faults.seen import say
from tests.faults.watching import publish
from tests.sockets.server_process import wait_until

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
BEGIN = PREFACE + SettingsFrame(0).serialize()

LOBBY = "/channels/chat?roomId=lobby"
HEADERS = [
    (":method", "GET"),
    (":path", "/_tako/channels/chat?roomId=other"),
    (":scheme", "https"),
    (":authority", "localhost"),
]


class Http2Tests(HostileCase):
    """Over TLS."""

    def _http2_connection(self) -> socket.socket:
        return self.connect(tls=True, alpn="h2")

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

        def flood(http: H2Connection, one: socket.socket) -> None:
            for _ in range(100):
                for _ in range(50):
                    stream = http.get_next_available_stream_id()
                    http.send_headers(stream, HEADERS, end_stream=True)
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

    def test_never_finish(self) -> None:
        """What is begun and not finished, or goes on by the byte, has the time of a head."""
        half = {
            "half a preface": PREFACE[:18],
            "no settings": PREFACE,
            "half of the settings": PREFACE + SettingsFrame(0).serialize()[:5],
            "a head without an end": BEGIN + HeadersFrame(1, b"\x82").serialize(),
            "half a head": BEGIN + HeadersFrame(1, b"\x82" * 50).serialize()[:20],
            "half a ping": BEGIN + PingFrame(0, b"12345678").serialize()[:12],
        }
        with self.bearing(f"10 each of: {', '.join(half)}, and 10 heads a byte a second"):
            began = time.monotonic()
            ones = [self._http2_connection() for _ in range(10 * len(half))]
            for at, one in enumerate(ones):
                one.sendall(list(half.values())[at % len(half)])
            slow = [self._http2_connection() for _ in range(10)]
            for one in slow:
                one.sendall(BEGIN + HeadersFrame(1, b"\x82").serialize())
            # Who goes on by the byte is let go while it does, and not when it rests.
            while slow:
                self.assertLess(time.monotonic() - began, 60)
                for one in slow:
                    with contextlib.suppress(OSError):
                        one.sendall(ContinuationFrame(1, b"\x84").serialize())
                slow = [one for one in slow if not self._ended(one, 1.0 / len(slow))]
            for one in ones:
                self.ends(one, 20)
        wait_until(lambda: self.server.connected == 0, "that none is left")

    def _ended(self, one: socket.socket, seconds: float) -> bool:
        """Whether the server has closed, looked at for so long."""
        one.settimeout(seconds)
        try:
            return not one.recv(65536)
        except TimeoutError:
            return False
        except OSError:
            return True

    def test_floods_that_are_read(self) -> None:
        """The same floods from clients who read what they are told: they are sent away at the
        bound, each with little work."""
        for what, frame in (
            ("pings", PingFrame(0, b"12345678").serialize()),
            ("settings", SettingsFrame(0).serialize()),
            ("resets of nothing", RstStreamFrame(1).serialize()),
            ("openings of the connection's window", WindowUpdateFrame(0, 1).serialize()),
            ("openings of no stream's window", WindowUpdateFrame(1, 1).serialize()),
            ("priorities", PriorityFrame(1, depends_on=3).serialize()),
            ("empty frames of data", DataFrame(1).serialize()),
            ("fragments of a head", ContinuationFrame(1, b"").serialize()),
            ("frames of no kind", b"\0\0\0\x33\0\0\0\0\1"),
        ):
            with self.bearing(f"20,000 {what} on each of five connections"):
                for _ in range(5):
                    one = self._http2_connection()
                    first = HeadersFrame(1, b"\x82").serialize() if "head" in what else b""
                    with contextlib.suppress(OSError):
                        one.sendall(BEGIN + first)
                        self.pour(one, frame * 1000, 20)
                    self.ends(one)

    def test_openings_by_the_library(self) -> None:
        """A client of another library that opens its windows by one byte, and reads nothing of
        what it asked for, is told to be calm."""
        with self.bearing("openings of windows by the h2 library, as many as it is let make"):
            one = self._http2_connection()
            http = H2Connection(H2Configuration(client_side=True))
            http.initiate_connection()
            stream = http.get_next_available_stream_id()
            http.send_headers(stream, HEADERS, end_stream=True)
            one.sendall(http.data_to_send())
            told = None
            for number in range(1, 50):
                for _ in range(100):
                    http.increment_flow_control_window(1, stream)
                with contextlib.suppress(OSError):
                    one.sendall(http.data_to_send())
                if number >= 15:
                    told = self._goodbye(http, one)
                    break
            say("after 1,500 openings", str(told))
            self.assertEqual(told, ErrorCodes.ENHANCE_YOUR_CALM)

    def test_openings_of_who_reads(self) -> None:
        """A client that reads 4 MB, and opens both windows for each KiB of it, gets it all."""
        said = [{"type": "msg", "data": "x" * 10_000}] * 100
        with self.server.private() as private:
            for _ in range(4):
                answer = private.post(LOBBY, content=json.dumps(said))
                self.assertEqual(answer.status_code, 200)
        with self.bearing("4 MB to a client that opens its windows 8,000 times"):
            one = self._http2_connection()
            http = H2Connection(H2Configuration(client_side=True))
            http.initiate_connection()
            stream = http.get_next_available_stream_id()
            path = (":path", "/_tako/channels/chat/history?roomId=lobby&after=0&limit=1000")
            http.send_headers(stream, [HEADERS[0], path, *HEADERS[2:]], end_stream=True)
            one.sendall(http.data_to_send())
            body, opened, ended = b"", 0, False
            while not ended:
                data = one.recv(65536)
                self.assertTrue(data, f"it was let go after {opened} openings")
                for event in http.receive_data(data):
                    self.assertNotIsInstance(event, ConnectionTerminated)
                    if isinstance(event, DataReceived):
                        body += event.data
                        for _ in range(len(event.data) // 1024):
                            http.increment_flow_control_window(1024)
                            http.increment_flow_control_window(1024, stream)
                            opened += 2
                        rest = len(event.data) % 1024
                        if rest and event.stream_ended is None:
                            http.increment_flow_control_window(rest)
                            http.increment_flow_control_window(rest, stream)
                    ended = ended or isinstance(event, StreamEnded)
                one.sendall(http.data_to_send())
        say("opened and read", f"{opened} times, {len(body)} bytes")
        self.assertEqual(len(json.loads(body)["messages"]), 400)
        self.assertGreater(opened, 7_000)

    def _goodbye(self, http: H2Connection, one: socket.socket) -> ErrorCodes | int | None:
        """The error of the server's GOAWAY."""
        one.settimeout(20)
        while data := one.recv(65536):
            for event in http.receive_data(data):
                if isinstance(event, ConnectionTerminated):
                    return event.error_code
        return None

    def test_no_window(self) -> None:
        """Two clients with 100 subscriptions each and no window for one byte: what waits for
        them is bounded, and they are let go when they go."""
        with self.bearing("200 subscriptions over HTTP/2 without a window, 300 messages of 10 kB"):
            ones = []
            for _ in range(2):
                one = self._http2_connection()
                http = H2Connection(H2Configuration(client_side=True))
                http.local_settings = Settings(
                    client=True, initial_values={SettingCodes.INITIAL_WINDOW_SIZE: 0}
                )
                http.initiate_connection()
                for _ in range(100):
                    stream = http.get_next_available_stream_id()
                    head = [(name, value.replace("other", "lobby")) for name, value in HEADERS]
                    http.send_headers(stream, head, end_stream=True)
                one.sendall(http.data_to_send())
                ones.append(one)
            wait_until(lambda: self.server.connected >= 200, "that all are there")
            for number in range(300):
                publish(self.server, [number, "x" * 10_000])
        for one in ones:
            one.close()
        wait_until(lambda: self.server.connected == 0, "that none is left")
