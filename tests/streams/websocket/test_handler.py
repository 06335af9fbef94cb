"""The WebSocket of a handler, and its timers, against a connection that does as it is told."""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.websocket.config import WebSocketConfig
from takotwist.streams.websocket.handler import (
    MAX_QUEUED_BYTES,
    ConnectionClosed,
    Keepalive,
    WebSocket,
)


class Connection:
    """The part of `WebSocketConnection` that a handler uses."""

    subprotocol = "chat.v1"

    def __init__(self) -> None:
        self.open = self.reading = True
        self.paused = False
        self.buffered = 0
        self.sent: list[str | bytes] = []
        self.pings: list[bytes] = []
        self.closes: list[tuple[int, str]] = []
        self.aborted = False

    def send_text(self, payload: bytes) -> None:
        """Keep it."""
        self.sent.append(payload.decode())

    def send_binary(self, payload: bytes) -> None:
        """Keep it."""
        self.sent.append(payload)

    def ping(self, payload: bytes = b"") -> None:
        """Keep it."""
        self.pings.append(payload)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Keep it."""
        self.open = False
        self.closes.append((code, reason))

    def abort(self) -> None:
        """Keep it."""
        self.open = False
        self.aborted = True

    def pause_reading(self) -> None:
        """See `WebSocketConnection`."""
        self.reading = False

    def resume_reading(self) -> None:
        """See `WebSocketConnection`."""
        self.reading = True


def pair(most: int = 4) -> tuple[WebSocket, Any]:
    """A handler's end, and its connection."""
    ws, connection = WebSocket(most), Connection()
    ws._connection = connection  # type: ignore[assignment]
    return ws, connection


class WebSocketTests(SynchronousTestCase):
    """Receiving, sending, and the end of both."""

    def setUp(self) -> None:
        self.ws, self.connection = pair()

    def start(self, work: Any) -> Deferred[Any]:
        """Run a coroutine."""
        return ensureDeferred(work)

    def test_in_order(self) -> None:
        """Text and bytes come as they were sent, waited for or not."""
        first = self.start(self.ws.receive())
        self.assertNoResult(first)
        self.ws.message_received("ä".encode(), False)
        self.ws.message_received(b"\xff", True)
        self.assertEqual(self.successResultOf(first), "ä")
        self.assertEqual(self.successResultOf(self.start(self.ws.receive())), b"\xff")

    def test_left_over(self) -> None:
        """What came before the end can still be read; then it is said how it ended."""
        self.ws.message_received(b"last", False)
        self.connection.open = False
        self.ws.lost(1001, "bye")
        self.assertEqual(self.successResultOf(self.start(self.ws.receive())), "last")
        closed = self.failureResultOf(self.start(self.ws.receive()), ConnectionClosed).value
        self.assertEqual((closed.code, closed.reason), (1001, "bye"))
        self.assertIn("1001 bye", str(closed))

    def test_iterated(self) -> None:
        """A loop over the messages ends with the connection, without an error."""
        got: list[str | bytes] = []

        async def read() -> None:
            async for message in self.ws:
                got.append(message)

        reading = self.start(read())
        self.ws.message_received(b"1", False)
        self.ws.message_received(b"2", False)
        self.connection.open = False
        self.ws.lost(1000, "")
        self.successResultOf(reading)
        self.assertEqual(got, ["1", "2"])

    def test_slow_client(self) -> None:
        """Sending waits for room, goes on in order, and fails where the client goes instead."""
        self.connection.paused = True
        first, second = self.start(self.ws.send("1")), self.start(self.ws.send(b"2"))
        self.assertNoResult(first)
        self.connection.paused = False
        self.ws.resumed()
        self.successResultOf(second)
        self.assertEqual(self.connection.sent, ["1", b"2"])
        self.connection.paused = True
        third = self.start(self.ws.send("3"))
        self.connection.open = False
        self.ws.lost(1006, "")
        self.failureResultOf(third, ConnectionClosed)
        self.assertEqual(self.connection.sent, ["1", b"2"])

    def test_json(self) -> None:
        """A value goes out as text."""
        self.successResultOf(self.start(self.ws.send_json({"a": [1]})))
        self.assertEqual(self.connection.sent, ['{"a":[1]}'])

    def test_pongs(self) -> None:
        """Each ping waits for its own pong; one that nobody asked for is nothing."""
        first, second = self.start(self.ws.ping()), self.start(self.ws.ping())
        self.ws.pong_received(b"unasked")
        self.ws.pong_received(self.connection.pings[1])
        self.successResultOf(second)
        self.assertNoResult(first)
        self.ws.lost(1006, "")
        self.failureResultOf(first, ConnectionClosed)

    def test_close(self) -> None:
        """It waits for the client's answer, or for the end of its time."""
        closing = self.start(self.ws.close(1001, "over"))
        self.assertEqual(self.connection.closes, [(1001, "over")])
        self.assertNoResult(closing)
        self.ws.lost(1001, "")
        self.successResultOf(closing)
        self.successResultOf(self.start(self.ws.close()))
        self.assertTrue(self.ws.told)

    def test_cancelled_waiters(self) -> None:
        """Who has stopped waiting is not told."""
        waiting = [
            self.start(self.ws.receive()),
            self.start(self.ws.ping()),
            self.start(self.ws.close()),
        ]
        for one in waiting:
            one.cancel()
            one.addErrback(lambda _: None)
        self.ws.message_received(b"1", False)
        self.ws.lost(1000, "")
        self.assertEqual(self.successResultOf(self.start(self.ws.receive())), "1")

    def test_bounded_in_bytes(self) -> None:
        """A few large messages stop the reading as many small ones do."""
        self.ws.message_received(b"x" * MAX_QUEUED_BYTES, True)
        self.assertTrue(self.connection.reading)
        self.ws.message_received(b"x", True)
        self.assertFalse(self.connection.reading)
        self.successResultOf(self.start(self.ws.receive()))
        self.assertTrue(self.connection.reading)

    @given(st.lists(st.booleans(), max_size=40), st.integers(1, 6))
    def test_nothing_is_lost(self, steps: list[bool], most: int) -> None:
        """Whatever comes while whatever is read: all of it, in order, and never more than the
        bound while the socket is read."""
        ws, connection = pair(most)
        sent = 0
        got: list[object] = []
        receiving: deque[Deferred[Any]] = deque()
        for comes in steps:
            if comes and connection.reading:
                ws.message_received(str(sent).encode(), False)
                sent += 1
            elif not comes and not receiving:
                receiving.append(self.start(ws.receive()).addCallback(got.append))
            while receiving and receiving[0].called:
                receiving.popleft()
            self.assertLessEqual(sent - len(got), most)
        connection.open = False
        ws.lost(1000, "")
        for one in receiving:
            self.failureResultOf(one, ConnectionClosed)
        for _ in range(sent - len(got)):
            self.start(ws.receive()).addCallback(got.append)
        self.assertEqual(got, [str(number) for number in range(sent)])
        self.failureResultOf(self.start(ws.receive()), ConnectionClosed)


class KeepaliveTests(SynchronousTestCase):
    """Timers of one connection."""

    def begin(self, **config: Any) -> Keepalive:
        """The timers of a new connection."""
        self.clock, self.connection = Clock(), Connection()
        settings = WebSocketConfig(
            **{"ping_interval": 10.0, "pong_timeout": 4.0, "max_lifetime": None, **config}
        )
        wanted: Any = self.connection
        return Keepalive(wanted, settings, self.clock)

    def advance(self, seconds: float) -> None:
        """Let time pass, a quarter of a second at once."""
        for _ in range(int(seconds * 4)):
            self.clock.advance(0.25)

    def test_heard(self) -> None:
        """A client that answers is asked again, an interval after the last time."""
        keepalive = self.begin()
        for pings in (1, 2, 3):
            self.advance(10.25)
            self.assertEqual(len(self.connection.pings), pings)
            keepalive.heard()
        self.assertFalse(self.connection.aborted)

    def test_not_heard(self) -> None:
        """One that says nothing is dropped when the time for its pong is over."""
        self.begin()
        self.advance(10.25)
        self.advance(3.5)
        self.assertFalse(self.connection.aborted)
        self.advance(1)
        self.assertTrue(self.connection.aborted)

    def test_not_read(self) -> None:
        """What is not read for cannot be heard, and is not held against the client."""
        self.begin()
        self.connection.reading = False
        self.advance(60)
        self.assertFalse(self.connection.aborted)
        self.assertGreater(len(self.connection.pings), 2)

    def test_answer_not_taken(self) -> None:
        """A client that does not read the answer to its handshake is not there."""
        config = {"upgrade_timeout": 5.0}
        self.begin(**config)
        self.connection.buffered = 100
        self.advance(4.75)
        self.assertFalse(self.connection.aborted)
        self.assertEqual(self.connection.pings, [])
        self.advance(1)
        self.assertTrue(self.connection.aborted)

    def test_lifetime(self) -> None:
        """Then it is closed, with a code by which a client comes back."""
        self.begin(max_lifetime=30.0, ping_interval=None)
        self.advance(30.25)
        self.assertEqual(self.connection.closes, [(1001, "lifetime over")])

    def test_stopped(self) -> None:
        """Nothing is left when the connection is gone, whenever that is."""
        for seconds in (0, 1, 10.5, 12, 31):
            keepalive = self.begin(max_lifetime=30.0)
            self.advance(seconds)
            keepalive.stop()
            keepalive.stop()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_at_most_two_timers(self) -> None:
        """Whatever the time, there are no more than two."""
        keepalive = self.begin(max_lifetime=100.0)
        for step in range(200):
            self.advance(0.5)
            self.assertLessEqual(len(self.clock.getDelayedCalls()), 2)
            if step % 7 == 0:
                keepalive.heard()
