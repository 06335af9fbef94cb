"""A stream as a handler uses it, both ways, with its ends and codes."""

from __future__ import annotations

from typing import Any

from aioquic.quic.events import StopSendingReceived, StreamDataReceived, StreamReset
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.webtransport import (
    StreamFinished,
    StreamStopped,
    WebTransportSession,
    WebTransportStream,
)
from takotwist.streams.webtransport import StreamReset as ResetByPeer
from takotwist.streams.webtransport.errors import to_http3
from tests.streams.http3.wire import Client
from tests.streams.webtransport.test_session import opened


class Held:
    """A handler that gives its session to the test."""

    session: WebTransportSession

    async def __call__(self, session: WebTransportSession) -> None:
        self.session = session
        await session.wait_closed()


class StreamCase(SynchronousTestCase):
    """A client and a session in the test's own hand."""

    def setUp(self) -> None:
        held = Held()
        self.client: Client
        self.client, self.session_id = opened(held)
        self.session = held.session
        self.addCleanup(self.client.quic.close)

    def run_now(self, work: Any) -> Any:
        """What a coroutine returns that needs no waiting."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def incoming(self, data: bytes = b"", *, end: bool = False) -> WebTransportStream:
        """A two-way stream that the client opened."""
        self.stream_id = self.client.open(self.session_id, data, end=end)
        self.client.net.pump()
        stream: WebTransportStream = self.run_now(self.session.incoming_bidi.next())
        return stream


class ReadTests(StreamCase):
    """The receiving direction."""

    def test_read(self) -> None:
        """Bytes come in order, as much as is asked for, and nothing at the end."""
        stream = self.incoming(b"hello world", end=True)
        self.assertEqual(self.run_now(stream.read(5)), b"hello")
        self.assertEqual(self.run_now(stream.read()), b" world")
        self.assertEqual(self.run_now(stream.read()), b"")

    def test_iterate(self) -> None:
        """A stream can be iterated to its end."""
        stream = self.incoming(b"one")

        async def collect() -> bytes:
            return b"".join([data async for data in stream])

        done = Deferred.fromCoroutine(collect())
        self.assertNoResult(done)
        self.client.quic.send_stream_data(self.stream_id, b"two", end_stream=True)
        self.client.net.pump()
        self.assertEqual(self.successResultOf(done), b"onetwo")

    def test_read_all_is_bounded(self) -> None:
        """A stream that is longer than was said is an error, not memory."""
        stream = self.incoming(b"x" * 100, end=True)
        self.failureResultOf(Deferred.fromCoroutine(stream.read_all(99)), ValueError)

    def test_one_reader(self) -> None:
        """Two readers at once are an error of the program."""
        stream = self.incoming()
        waiting = Deferred.fromCoroutine(stream.read())
        self.failureResultOf(Deferred.fromCoroutine(stream.read()), RuntimeError)
        self.client.quic.send_stream_data(self.stream_id, b"x")
        self.client.net.pump()
        self.assertEqual(self.successResultOf(waiting), b"x")

    def test_reset_by_client(self) -> None:
        """A client that gives up is heard, with its own code."""
        stream = self.incoming(b"some")
        self.client.quic.reset_stream(self.stream_id, to_http3(77))
        self.client.net.pump()
        failure = self.failureResultOf(Deferred.fromCoroutine(stream.read()), ResetByPeer)
        self.assertEqual(failure.value.code, 77)

    def test_reset_by_something_else(self) -> None:
        """A code that is not an application's is none."""
        stream = self.incoming(b"some")
        self.client.quic.reset_stream(self.stream_id, 0x10C)
        self.client.net.pump()
        failure = self.failureResultOf(Deferred.fromCoroutine(stream.read()), ResetByPeer)
        self.assertIsNone(failure.value.code)

    def test_stop(self) -> None:
        """A handler that wants no more says so with its code, and reads no more."""
        stream = self.incoming(b"some")
        stream.stop(5)
        stream.stop(6)
        self.client.net.pump()
        stopped = self.client.quic_event(StopSendingReceived, self.stream_id)
        self.assertEqual(stopped.error_code, to_http3(5))
        self.failureResultOf(Deferred.fromCoroutine(stream.read()), StreamFinished)

    def test_wrong_direction(self) -> None:
        """A one-way stream has no other direction."""
        ours = self.session.open_uni()
        self.failureResultOf(Deferred.fromCoroutine(ours.read()), StreamFinished)
        self.client.open(self.session_id, b"x", one_way=True)
        self.client.net.pump()
        theirs = self.run_now(self.session.incoming_uni.next())
        self.assertRaises(StreamFinished, theirs.write, b"x")
        self.assertEqual((theirs.readable, theirs.writable), (True, False))


class WriteTests(StreamCase):
    """The sending direction."""

    def test_answer(self) -> None:
        """What is written is read, and the end as well."""
        stream = self.incoming(b"question", end=True)
        self.run_now(stream.send(b"ans"))
        stream.write(b"wer")
        stream.finish()
        stream.finish()
        self.client.net.pump()
        self.assertEqual(self.client.raw[self.stream_id], b"answer")
        self.run_now(stream.delivered())

    def test_open_both_ways(self) -> None:
        """Streams of ours reach the client, with their session, and it can answer one."""
        one_way, two_way = self.session.open_uni(), self.session.open_bidi()
        self.run_now(one_way.send(b"one"))
        self.run_now(two_way.send(b"two"))
        self.client.net.pump()
        came = {
            event.stream_id: event.data
            for event in self.client.events
            if getattr(event, "session_id", None) == self.session_id
        }
        self.assertEqual(came, {one_way.id: b"one", two_way.id: b"two"})
        self.client.quic.send_stream_data(two_way.id, b"back", end_stream=True)
        self.client.net.pump()
        self.assertEqual(self.run_now(two_way.read_all(10)), b"back")

    def test_after_the_end(self) -> None:
        """Nothing can be written after the end."""
        stream = self.session.open_uni()
        stream.finish()
        self.assertRaises(StreamFinished, stream.write, b"x")
        self.failureResultOf(Deferred.fromCoroutine(stream.send(b"x")), StreamFinished)

    def test_reset(self) -> None:
        """A handler that gives up says so with its code."""
        stream = self.incoming(b"question", end=True)
        stream.write(b"half of the ans")
        stream.reset(9)
        stream.reset(10)
        self.client.net.pump()
        self.assertEqual(
            self.client.quic_event(StreamReset, self.stream_id).error_code, to_http3(9)
        )
        self.assertRaises(StreamFinished, stream.write, b"x")
        self.assertRaises(ValueError, self.session.open_uni().reset, -1)

    def test_reset_at_once(self) -> None:
        """A stream that is reset in the turn it is opened in is still known to be the session's."""
        stream = self.session.open_uni()
        stream.reset(9)
        self.client.net.pump()
        data = self.client.quic_event(StreamDataReceived, stream.id).data
        self.assertEqual(data, b"\x40\x54" + bytes([self.session_id]))
        reset = self.client.quic_event(StreamReset, stream.id)
        self.assertEqual(reset.error_code, to_http3(9))

    def test_stopped_by_client(self) -> None:
        """A client that reads no more is heard, with its own code."""
        stream = self.incoming(b"question")
        self.client.quic.stop_stream(self.stream_id, to_http3(66))
        self.client.net.pump()
        failure = self.failureResultOf(Deferred.fromCoroutine(stream.send(b"x")), StreamStopped)
        self.assertEqual(failure.value.code, 66)

    def test_delivered_or_not(self) -> None:
        """Whether the client has got everything is known, and so is that it never will."""
        self.client.net.drop = lambda _: True
        stream = self.incoming(b"question", end=True)
        stream.write(b"answer")
        stream.finish()
        waiting = Deferred.fromCoroutine(stream.delivered())
        self.client.net.pump()
        self.assertNoResult(waiting)
        self.client.net.drop = lambda _: False
        self.client.net.pump(3)
        self.successResultOf(waiting)

    def test_many_short_streams(self) -> None:
        """Streams that are over are forgotten on both sides of the connection."""
        for _ in range(5):
            for _ in range(50):
                stream = self.session.open_uni()
                stream.write(b"x")
                stream.finish()
            self.client.net.pump(0.5)
        [connection] = self.client.net.server.protocol.connections
        self.assertEqual(connection._streams.raw, {})
        self.assertEqual(connection._streams._watchers, {})
        self.assertEqual(self.session._ours, set())
