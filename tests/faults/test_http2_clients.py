"""Clients of HTTP/2 that begin and never finish, open no window, or flood.

Their frames are written by hand or by another library.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes, Settings
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)

from tests.faults.hostile import HostileCase
from tests.faults.watching import publish
from tests.sockets.server_process import wait_until

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
BEGIN = PREFACE + SettingsFrame(0).serialize()

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
            for _ in range(12):
                time.sleep(1)
                for one in slow:
                    with contextlib.suppress(OSError):
                        one.sendall(ContinuationFrame(1, b"\x84").serialize())
            for one in ones + slow:
                self.ends(one, 20)
            self.assertLess(time.monotonic() - began, 30)
        wait_until(lambda: self.server.connected == 0, "that none is left")

    def test_floods_that_are_read(self) -> None:
        """The same floods from clients who read what they are told: they are sent away at the
        bound, each with little work."""
        for what, frame in (
            ("pings", PingFrame(0, b"12345678").serialize()),
            ("settings", SettingsFrame(0).serialize()),
            ("resets of nothing", RstStreamFrame(1).serialize()),
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
