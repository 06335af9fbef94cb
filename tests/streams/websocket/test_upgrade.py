from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET

from takotwist.codecs.websocket_frame import text_frame
from takotwist.streams.websocket.config import Deflate, WebSocketConfig
from takotwist.streams.websocket.connection import WebSocketConnection
from takotwist.streams.websocket.upgrade import WebSocketUpgrade
from tests.codecs.websocket_reader import client_close, client_frame
from tests.streams.exchange import Http2Exchange
from tests.streams.websocket_client import WebSocketExchange


class _Upgraded(WebSocketExchange):
    """A client whose connection is in the test's hands."""

    def __init__(self, config: WebSocketConfig | None = None, *lines: str, **more: Any) -> None:
        self.told: list[Any] = []
        self.requests: list[Any] = []
        self._config = config or WebSocketConfig()
        self.upgrader: Any = None
        self.connection: WebSocketConnection | None = None
        self.wait = more.pop("wait", False)
        super().__init__(lambda ws: None, None, *lines, connect=False)
        self.upgrader = WebSocketUpgrade(self._config, self.clock)
        self.site.resource.render = self.render
        if self.direct:
            self.site.direct = lambda path: lambda request: bool(self.render(request))
        if not self.wait:
            self.handshake(*lines)

    def render(self, request: Any) -> Any:
        self.requests.append(request)
        if not self.wait:
            self.upgrade()
        return NOT_DONE_YET

    def upgrade(self, **more: Any) -> None:
        self.connection = self.upgrader.upgrade(
            self.requests[0],
            on_message=lambda payload, is_binary: self.told.append((payload, is_binary)),
            on_closed=lambda *end: self.told.append(end),
            on_pong=lambda payload: self.told.append(("pong", payload)),
            on_pause=lambda: self.told.append("pause"),
            on_resume=lambda: self.told.append("resume"),
            **more,
        )

    @property
    def ws(self) -> WebSocketConnection:
        assert self.connection is not None
        return self.connection


class UpgradeTests(SynchronousTestCase):
    """A request becomes a connection."""

    def test_upgraded_later(self) -> None:
        """An upgrade may wait for an authorization; what the client sends meanwhile is kept."""
        client = _Upgraded(wait=True)
        client.ask_upgrade()
        client.send(client_frame(1, b"early"))
        client.clock.advance(1000)
        self.assertEqual((client.transport.take(), client.told), (b"", []))
        client.upgrade(subprotocol="v1", headers={"X-A": "b"})
        self.assertEqual(client.site.connections, set())
        status, fields, _ = client.answer()
        self.assertEqual((status, fields["sec-websocket-protocol"]), (101, "v1"))
        self.assertEqual(fields["x-a"], "b")
        self.assertEqual(client.told, [(b"early", False)])
        self.assertTrue(client.transport.no_delay)

    def test_client_left_meanwhile(self) -> None:
        """When the client has gone meanwhile there is no connection, and nobody is told."""
        client = _Upgraded(wait=True)
        client.ask_upgrade()
        client.transport.hang_up()
        client.upgrade()
        self.assertIsNone(client.connection)
        self.assertEqual(client.told, [])

    def test_http2(self) -> None:
        """A request of HTTP/2 cannot be upgraded, and saying so is the caller's error."""
        errors: list[Any] = []

        def answer(request: Any) -> bytes:
            try:
                upgrader.upgrade(request, on_message=lambda *_: None)
            except ValueError as error:
                errors.append(error)
            return b""

        exchange = Http2Exchange(answer)
        upgrader = WebSocketUpgrade(WebSocketConfig(), exchange.clock)
        exchange.ask()
        self.assertEqual(len(errors), 1)

    def test_what_is_left_of_the_handshake(self) -> None:
        """An open connection holds neither the request nor the key, and no timer."""
        client = _Upgraded()
        held = vars(client.ws._protocol)
        for name in ("http_response_data", "_wskey", "websocket_protocols", "trafficStats"):
            self.assertNotIn(name, held)
        self.assertLess(len(held), 15)
        self.assertEqual(client.clock.getDelayedCalls(), [])


class ConnectionTests(SynchronousTestCase):
    """An open connection, as the transports use it."""

    def setUp(self) -> None:
        self.client = _Upgraded()
        self.ws = self.client.ws

    def test_frames_pass_as_they_are(self) -> None:
        """Frames that are encoded already go out joined and untouched."""
        self.ws.write_frames(text_frame(b"a") + text_frame(b"b"))
        self.assertEqual(self.client.transport.take(), text_frame(b"a") + text_frame(b"b"))
        self.assertIs(self.ws.transport, self.client.transport)

    def test_send(self) -> None:
        """Text, binary and pings, and the pong."""
        self.ws.send_text("ü".encode())
        self.ws.send_binary(b"\x00")
        self.ws.ping(b"p")
        self.assertEqual(self.client.said(), [(1, "ü".encode()), (2, b"\x00"), (9, b"p")])
        self.client.send(client_frame(10, b"p"), client_frame(2, b"x"))
        self.assertEqual(self.client.told, [("pong", b"p"), (b"x", True)])

    def test_frames_on_a_compressed_connection(self) -> None:
        """Ready frames are right on a compressed connection too; `send_text` compresses."""
        client = _Upgraded(
            WebSocketConfig(deflate=Deflate(compress_from=0)),
            "Sec-WebSocket-Extensions: permessage-deflate",
        )
        client.ws.write_frames(text_frame(b"plain"))
        client.ws.send_text(b"compressed")
        self.assertEqual([frame.rsv for frame in client.heard()], [0, 4])

    def test_close(self) -> None:
        """After a close nothing is sent or told; its end is told once, with the client's word."""
        self.ws.close(1013, "überladen" * 30)
        self.ws.close(1000)
        self.ws.write_frames(text_frame(b"late"))
        (frame,) = self.client.heard()
        self.assertLessEqual(len(frame.payload), 125)
        self.client.send(client_frame(1, b"late"))
        self.client.close(1013, b"ok")
        self.client.transport.hang_up()
        self.assertEqual(self.client.told, [(1013, "ok", True)])
        self.assertEqual(self.client.clock.getDelayedCalls(), [])

    def test_close_codes(self) -> None:
        """A code that may not be sent is refused."""
        self.assertRaises(ValueError, self.ws.close, 1006)
        self.assertTrue(self.ws.open)

    def test_close_of_a_slow_client(self) -> None:
        """A close to a client that does not read has its bound too."""
        self.client.transport.block()
        self.ws.send_binary(b"x" * 100000)
        self.ws.close()
        self.client.clock.advance(5)
        self.assertTrue(self.client.transport.aborted)
        self.assertEqual(self.client.told, ["pause", (1006, "", False)])

    def test_close_by_a_slow_client(self) -> None:
        """So has the answer to a client that closes and does not read."""
        self.client.transport.block()
        self.ws.send_binary(b"x" * 100000)
        self.client.close(1000)
        self.assertEqual(self.client.told, ["pause"])
        self.client.clock.advance(5)
        self.assertTrue(self.client.transport.aborted)
        self.assertEqual(self.client.told[1:], [(1000, "", True)])

    def test_abort(self) -> None:
        """An abort is told as 1006, once."""
        self.ws.abort()
        self.ws.abort()
        self.assertTrue(self.client.transport.aborted)
        self.assertEqual(self.client.told, [(1006, "", False)])

    def test_pressure(self) -> None:
        """Pause and resume, and how much waits."""
        self.client.transport.block()
        self.ws.write_frames(b"x" * 70000)
        self.assertEqual((self.client.told, self.ws.paused), (["pause"], True))
        self.assertEqual(self.ws.buffered, 70000)
        self.client.transport.unblock()
        self.assertEqual((self.client.told, self.ws.paused), (["pause", "resume"], False))

    def test_reading(self) -> None:
        """Reading can be paused; a close resumes it, so that the client's can be seen."""
        self.ws.pause_reading()
        self.client.send(client_frame(1, b"x"))
        self.assertEqual(self.client.told, [])
        self.ws.resume_reading()
        self.assertEqual(self.client.told, [(b"x", False)])
        self.ws.pause_reading()
        self.client.send(client_close(1000))
        self.ws.close(1000)
        self.assertEqual(self.client.told[1:], [(1000, "", True)])

    def test_taker_that_fails(self) -> None:
        """When `on_message` raises, the connection is closed with 1011 and the log has why."""

        def fail(*_: object) -> None:
            raise RuntimeError("secret")

        self.ws._on_message = fail
        self.client.send(client_frame(1, b"x"))
        self.assertEqual(self.client.closed_with(), 1011)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
