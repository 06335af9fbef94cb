"""An open WebSocket connection, between a protocol and a transport that do as they are told."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.codecs.websocket_frame import (
    binary_frame,
    ping_frame,
    pong_frame,
    text_frame,
)
from takotwist.streams.unread import Unread
from takotwist.streams.websocket.connection import WebSocketConnection

CLOSE_TIMEOUT = 3.0


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.calls: list[str] = []
        self.dataBuffer = b""
        self.offset = self._tempDataLen = 0

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.written.append(data)

    def pauseProducing(self) -> None:
        """Keep it."""
        self.calls.append("pauseProducing")

    def resumeProducing(self) -> None:
        """Keep it."""
        self.calls.append("resumeProducing")

    def unregisterProducer(self) -> None:
        """Keep it."""
        self.calls.append("unregisterProducer")

    def abortConnection(self) -> None:
        """Keep it."""
        self.calls.append("abortConnection")


class Protocol:
    """Autobahn's part: compression and the close frame."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.compressed: list[tuple[bytes, bool]] = []
        self.closes: list[tuple[int, bytes | None]] = []
        self.reads: list[bool] = []
        self.connection: Any = None

    def compresses(self, payload: bytes) -> bool:
        """Long ones, as where compression was agreed on."""
        return len(payload) > 100

    def send_compressed(self, payload: bytes, is_binary: bool) -> None:
        """Keep it."""
        self.compressed.append((payload, is_binary))

    def sendCloseFrame(self, code: int, reason: bytes | None, isReply: bool) -> None:
        """Keep it, and say that it was sent."""
        self.closes.append((code, reason))
        self.connection.closing()

    def read_on(self, reading: bool) -> None:
        """Keep it."""
        self.reads.append(reading)


class ConnectionTests(SynchronousTestCase):
    """`WebSocketConnection`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.transport = Transport()
        self.protocol = Protocol(self.transport)
        self.messages: list[tuple[bytes, bool]] = []
        self.closed: list[tuple[int, str, bool]] = []
        self.events: list[str] = []
        self.answers = Unread(self.clock)
        self.waiting: Deferred[None] = Deferred()
        self.connection = WebSocketConnection(
            self.clock,
            CLOSE_TIMEOUT,
            [self.waiting],
            self.answers,
            subprotocol=None,
            on_message=lambda *said: self.messages.append(said),
            on_closed=lambda *said: self.closed.append(said),
            on_pause=lambda: self.events.append("paused"),
            on_resume=lambda: self.events.append("resumed"),
        )
        self.protocol.connection = self.connection
        self.connection.opened(self.protocol)

    def lose(self, code: int = 1006, reason: str = "", clean: bool = False) -> None:
        """The connection goes."""
        self.connection.lost(code, reason, clean, ConnectionError("gone"))
        self.failureResultOf(self.waiting, ConnectionError)
        self.waiting = Deferred()

    def test_frames(self) -> None:
        """Short messages go straight to the transport, long ones where compression is."""
        self.connection.send_text(b"a")
        self.connection.send_binary(b"\0")
        self.connection.send_text(b"x" * 200)
        self.connection.ping(b"1")
        self.assertEqual(
            self.transport.written, [text_frame(b"a"), binary_frame(b"\0"), ping_frame(b"1")]
        )
        self.assertEqual(self.protocol.compressed, [(b"x" * 200, False)])

    def test_not_open(self) -> None:
        """Before it is open, and after it has gone, nothing is written and nothing raises."""
        self.lose()
        self.connection.send_text(b"a")
        self.connection.send_text(b"x" * 200)
        self.connection.ping()
        self.connection.close()
        self.connection.abort()
        self.connection.message_received(b"a", False)
        self.assertEqual((self.transport.written, self.transport.calls), ([], []))
        self.assertEqual((self.messages, self.connection.buffered), ([], 0))

    def test_no_data_behind_a_close(self) -> None:
        """After a close frame nothing is sent (RFC 6455, section 5.5.1); whoever keeps the
        method that writes is told, once."""
        told: list[str] = []
        self.connection.on_closing = lambda: told.append("closing")
        self.connection.close(1001, "over")
        self.assertEqual(self.protocol.closes, [(1001, b"over")])
        self.connection.send_text(b"late")
        self.connection.close(1000)
        self.lose(1001)
        self.assertEqual(self.transport.written, [])
        self.assertEqual((self.protocol.closes, told), ([(1001, b"over")], ["closing"]))

    def test_close_codes(self) -> None:
        """A code that may not be sent is refused; a reason is cut to what fits a frame."""
        for code in (0, 999, 1004, 1005, 1006, 1015, 5000):
            self.assertRaises(ValueError, self.connection.close, code)
        self.connection.close(4000, "ä" * 200)
        [(_, reason)] = self.protocol.closes
        assert reason is not None
        self.assertLessEqual(len(reason), 123)
        self.assertEqual(set(reason.decode()), {"ä"})

    def test_overdue(self) -> None:
        """A client that does not answer a close is dropped."""
        self.connection.close()
        self.clock.advance(CLOSE_TIMEOUT - 0.1)
        self.assertNotIn("abortConnection", self.transport.calls)
        self.clock.advance(0.2)
        self.assertIn("abortConnection", self.transport.calls)

    def test_answered_in_time(self) -> None:
        """One that does leaves no timer; its end is told once."""
        self.connection.close()
        self.lose(1000, "bye", True)
        self.connection.lost(1006, "", False, ConnectionError())
        self.assertEqual(self.closed, [(1000, "bye", True)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_router_first(self) -> None:
        """The framework that waits for the request hears of the end before the handler does."""
        order: list[str] = []
        self.waiting.addErrback(lambda _: order.append("router"))
        self.connection._on_closed = lambda *_: order.append("handler")
        self.connection.lost(1000, "", True, ConnectionError())
        self.assertEqual(order, ["router", "handler"])

    def test_slow_client(self) -> None:
        """It is told when the client is slow; a client that then takes nothing is dropped."""
        self.transport.dataBuffer = b"x" * 100_000
        self.connection.pauseProducing()
        self.connection.pauseProducing()
        self.assertEqual(self.events, ["paused"])
        self.assertEqual(self.connection.buffered, 100_000)
        self.assertEqual(self.answers.held, 100_000)
        self.connection.resumeProducing()
        self.connection.resumeProducing()
        self.assertEqual((self.events, self.answers.held), (["paused", "resumed"], 0))
        self.connection.pauseProducing()
        for _ in range(100):
            self.clock.advance(1)
        self.assertIn("abortConnection", self.transport.calls)
        self.assertEqual(self.answers.held, 0)

    def test_pongs_are_bounded(self) -> None:
        """A client that pings and does not read gets one pong, of its latest ping."""
        self.connection.ping_received(b"1")
        self.connection.pauseProducing()
        for number in range(2, 50):
            self.connection.ping_received(b"%d" % number)
        self.assertEqual(self.transport.written, [pong_frame(b"1")])
        self.connection.resumeProducing()
        self.assertEqual(self.transport.written, [pong_frame(b"1"), pong_frame(b"49")])

    def test_reading(self) -> None:
        """Reading stops and goes on at the transport and at the protocol, once each."""
        self.connection.pause_reading()
        self.connection.pause_reading()
        self.assertFalse(self.connection.reading)
        self.connection.resume_reading()
        self.connection.resume_reading()
        self.assertEqual(self.protocol.reads, [False, True])
        self.assertEqual(self.transport.calls, ["pauseProducing", "resumeProducing"])

    def test_close_needs_reading(self) -> None:
        """The client's answer to a close can be seen only by reading."""
        self.connection.pause_reading()
        self.connection.close()
        self.assertTrue(self.connection.reading)
        self.connection.pause_reading()
        self.assertTrue(self.connection.reading)

    @given(
        st.lists(
            st.sampled_from(
                ("text", "ping", "close", "abort", "pause", "resume", "stop", "go", "lost", "time")
            ),
            max_size=12,
        )
    )
    def test_any_order(self, steps: list[str]) -> None:
        """Whatever comes in whatever order: nothing is written after the close or the end, the
        end is told once, and nothing is left behind it."""
        self.setUp()
        written_at_close: int | None = None
        for step in steps:
            connection = self.connection
            match step:
                case "text":
                    connection.send_text(b"a")
                case "ping":
                    connection.ping_received(b"1")
                case "close":
                    connection.close()
                case "abort":
                    connection.abort()
                case "pause":
                    connection.pauseProducing()
                case "resume":
                    connection.resumeProducing()
                case "stop":
                    connection.pause_reading()
                case "go":
                    connection.resume_reading()
                case "lost":
                    connection.lost(1006, "", False, ConnectionError())
                    self.waiting.addErrback(lambda _: None)
                case "time":
                    self.clock.advance(1)
            if not connection.open and written_at_close is None:
                written_at_close = len(self.transport.written)
        self.connection.lost(1006, "", False, ConnectionError())
        self.waiting.addErrback(lambda _: None)
        if written_at_close is not None:
            self.assertEqual(len(self.transport.written), written_at_close)
        self.assertEqual(len(self.closed), 1)
        self.assertEqual((self.clock.getDelayedCalls(), self.answers.held), ([], 0))
