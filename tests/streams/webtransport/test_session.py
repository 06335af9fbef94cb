"""A session's life: T5 of the WebTransport checklist, closes both ways, handlers and limits."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from aioquic.h3.connection import ErrorCode
from aioquic.quic.events import StopSendingReceived, StreamReset
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.webtransport import (
    SessionClosed,
    TooManyStreams,
    WebTransportConfig,
    WebTransportSession,
    webtransport,
)
from takotwist.streams.webtransport.capsules import encode_close, encode_drain
from takotwist.streams.webtransport.errors import BUFFERED_STREAM_REJECTED, SESSION_GONE
from tests.streams.http3.resources import Recorder
from tests.streams.http3.wire import Client, Net

Handler = Callable[[WebTransportSession], Coroutine[Deferred[Any], Any, Any]]


def opened(handler: Handler, **limits: Any) -> tuple[Client, int]:
    """A client, and its session with `handler`."""
    config = WebTransportConfig(**limits)
    client = Net(Recorder(), [webtransport("/wt", handler, config=config)]).client()
    session = client.connect()
    client.net.pump()
    return client, session


class CloseTests(SynchronousTestCase):
    """How a session ends."""

    def setUp(self) -> None:
        self.closed: list[SessionClosed] = []
        self.session: WebTransportSession | None = None

    async def wait(self, session: WebTransportSession) -> None:
        """A handler that waits for the end."""
        self.session = session
        self.closed.append(await session.wait_closed())

    def end(self) -> tuple[int, str, bool]:
        """The close that the handler saw."""
        [closed] = self.closed
        return closed.code, closed.reason, closed.clean

    def test_client_closes(self) -> None:
        """A close with code and reason reaches the handler, and is answered by the end."""
        client, session = opened(self.wait)
        client.h3.send_data(session, encode_close(7, "bye é"), end_stream=True)
        client.net.pump()
        self.assertEqual(self.end(), (7, "bye é", True))
        self.assertTrue(client.ended(session))

    def test_client_ends_the_stream(self) -> None:
        """An end without a close is a close with code 0 and no reason."""
        client, session = opened(self.wait)
        client.h3.send_data(session, b"", end_stream=True)
        client.net.pump()
        self.assertEqual(self.end(), (0, "", True))

    def test_client_resets(self) -> None:
        """A reset of the CONNECT stream ends the session, and is no clean close."""
        client, session = opened(self.wait)
        client.quic.reset_stream(session, ErrorCode.H3_REQUEST_CANCELLED)
        client.net.pump()
        self.assertEqual(self.end(), (0, "", False))

    def test_connection_lost(self) -> None:
        """So does the loss of the connection."""
        client, _ = opened(self.wait)
        client.quic.close()
        client.net.pump()
        self.assertFalse(self.end()[2])

    def test_server_closes(self) -> None:
        """Our close is a capsule with code and reason, and the end of the stream."""
        client, session = opened(self.wait)
        assert self.session is not None
        self.session.close(42, "enough")
        self.session.close(43, "twice")
        client.net.pump()
        self.assertEqual(client.body(session), encode_close(42, "enough"))
        self.assertTrue(client.ended(session))
        self.assertEqual(self.end(), (42, "enough", True))

    def test_impossible_code(self) -> None:
        """A code of more than 32 bits is refused, and the session stays."""
        _client, _ = opened(self.wait)
        assert self.session is not None
        self.assertRaises(ValueError, self.session.close, 2**32)
        self.assertIsNone(self.session.closed)

    def test_malformed_capsule(self) -> None:
        """A malformed capsule resets the session, not the connection."""
        client, session = opened(self.wait)
        client.h3.send_data(session, b"\x68\x43\x02ab", end_stream=False)
        client.net.pump()
        reset = client.quic_event(StreamReset, session)
        self.assertEqual(reset.error_code, ErrorCode.H3_MESSAGE_ERROR)
        self.assertFalse(self.end()[2])
        request = client.request()
        client.net.pump()
        self.assertEqual(client.status(request), 200)

    def test_unknown_capsule(self) -> None:
        """Browsers send a capsule that nobody knows: it is passed over."""
        client, session = opened(self.wait)
        client.h3.send_data(session, b"\x17\x03abc" + encode_close(1, ""), end_stream=True)
        client.net.pump()
        self.assertEqual(self.end(), (1, "", True))

    def test_t5_streams_end_with_the_session(self) -> None:
        """T5: the end of a session resets its streams, ends its readers, and harms nothing else."""
        outcome: list[object] = []

        async def read(session: WebTransportSession) -> None:
            stream = await session.incoming_bidi.next()
            ours = session.open_uni()
            ours.write(b"unfinished")
            self.session = session
            try:
                while await stream.read():
                    pass
            except SessionClosed as closed:
                outcome.append(closed.code)
            outcome.append(len([each async for each in session.incoming_uni]))
            for late in (session.open_uni, lambda: session.datagrams.send(b"x")):
                try:
                    late()
                except SessionClosed as closed:
                    outcome.append(closed.code)

        client, session = opened(read)
        stream = client.open(session, b"some")
        client.net.pump()
        client.h3.send_data(session, encode_close(9, ""), end_stream=True)
        client.net.pump()
        self.assertEqual(outcome, [9, 0, 9, 9])
        self.assertEqual(client.quic_event(StreamReset, stream).error_code, SESSION_GONE)
        self.assertEqual(client.quic_event(StopSendingReceived, stream).error_code, SESSION_GONE)
        [ours] = [
            e.stream_id
            for e in client.quic_events
            if isinstance(e, StreamReset) and e.stream_id & 2
        ]
        self.assertEqual(client.quic_event(StreamReset, ours).error_code, SESSION_GONE)
        request = client.request()
        client.net.pump()
        self.assertEqual(client.status(request), 200)
        [connection] = client.net.server.protocol.connections
        self.assertEqual(connection._streams.raw, {})
        self.assertFalse(connection.busy)

    def test_draining(self) -> None:
        """A wish to come to the end goes both ways and closes nothing."""
        client, session = opened(self.wait)
        assert self.session is not None
        self.session.drain()
        self.session.drain()
        client.net.pump()
        self.assertEqual(client.body(session), encode_drain())
        self.assertIsNone(self.session.closed)

        client, session = opened(self.wait)
        asked = Deferred.fromCoroutine(self.session.wait_draining())
        self.assertNoResult(asked)
        client.h3.send_data(session, encode_drain(), end_stream=False)
        client.net.pump()
        self.successResultOf(asked)


class HandlerTests(SynchronousTestCase):
    """What a handler may do, and what becomes of it."""

    def test_return_closes(self) -> None:
        """When a handler returns, what it finished is delivered, and the session closed with 0."""

        async def speak(session: WebTransportSession) -> None:
            stream = session.open_uni()
            await stream.send(b"x" * 200_000)
            stream.finish()

        client, session = opened(speak)
        client.net.pump(2)
        events = [e for e in client.events if getattr(e, "session_id", None) == session]
        self.assertEqual(sum(len(event.data) for event in events), 200_000)
        self.assertTrue(events[-1].stream_ended)
        self.assertEqual(client.body(session), encode_close(0, ""))

    def test_failure_closes(self) -> None:
        """When a handler raises, that is logged, and the client gets 1011 and nothing of it."""

        async def fail(session: WebTransportSession) -> None:
            raise RuntimeError("secret")

        client, session = opened(fail)
        self.assertEqual(client.body(session), encode_close(1011, "internal-error"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_failure_beside(self) -> None:
        """So it is when something fails that the handler started."""

        async def fail() -> None:
            raise RuntimeError("secret")

        async def start(session: WebTransportSession) -> None:
            session.start(fail())
            await session.wait_closed()

        client, session = opened(start)
        self.assertEqual(client.body(session), encode_close(1011, "internal-error"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_stuck_handler_is_cancelled(self) -> None:
        """A handler that waits for something else gets its grace, and is then cancelled."""
        ended: list[str] = []

        async def stick(session: WebTransportSession) -> None:
            try:
                await Deferred()
            except CancelledError:
                ended.append("cancelled")
                raise

        client, session = opened(stick, handler_grace=2.0)
        client.h3.send_data(session, b"", end_stream=True)
        client.net.pump(1.5)
        self.assertEqual(ended, [])
        client.net.pump(1)
        self.assertEqual(ended, ["cancelled"])

    def test_clean_end_leaves_no_timer(self) -> None:
        """A handler that comes to its own end leaves nothing behind."""

        async def wait(session: WebTransportSession) -> None:
            await session.wait_closed()

        client, session = opened(wait)
        client.h3.send_data(session, b"", end_stream=True)
        client.net.pump()
        client.quic.close()
        client.net.pump(3)
        self.assertEqual(client.net.clock.getDelayedCalls(), [])

    def test_expected_end_is_not_logged(self) -> None:
        """A handler that is interrupted by its client's leaving is no failure."""

        async def ask(session: WebTransportSession) -> None:
            await session.datagrams.receive()

        client, session = opened(ask)
        client.h3.send_data(session, encode_close(3, ""), end_stream=True)
        client.net.pump()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_what_it_knows(self) -> None:
        """A handler knows the path, the fields, the peer and the agreed protocol."""
        seen: list[object] = []

        async def look(session: WebTransportSession) -> None:
            seen.extend([session.path, session.peer.host, session.protocol])
            seen.extend(session.headers.getRawHeaders("x-mark", []))

        config = WebTransportConfig(protocols=("tako.v1",))
        client = Net(None, [webtransport("/wt", look, config=config)]).client()
        session = client.connect(wt_available_protocols='"tako.v1"', x_mark="yes")
        client.net.pump()
        self.assertEqual(seen, ["/wt", "192.0.2.7", "tako.v1", "yes"])
        self.assertEqual(client.headers(session)[b"wt-protocol"], b'"tako.v1"')


class LimitTests(SynchronousTestCase):
    """The bounds of a session."""

    def test_their_streams(self) -> None:
        """A client's stream past the bound is reset; one more is taken when one is over."""

        async def hold(session: WebTransportSession) -> None:
            await session.incoming_bidi.next()
            stream = await session.incoming_bidi.next()
            await stream.read_all(10)
            stream.finish()
            await session.wait_closed()

        client, session = opened(hold, max_streams=2)
        client.open(session, b"a")
        second = client.open(session, b"b")
        third = client.open(session, b"c")
        client.net.pump()
        self.assertEqual(client.quic_event(StreamReset, third).error_code, BUFFERED_STREAM_REJECTED)
        client.quic.send_stream_data(second, b"", end_stream=True)
        client.net.pump()
        fourth = client.open(session, b"d")
        client.net.pump()
        self.assertIsNone(client.quic_event(StreamReset, fourth))

    def test_our_streams(self) -> None:
        """A handler that opens more than it may is told so, until one of them is delivered."""
        outcome: list[str] = []

        async def open_many(session: WebTransportSession) -> None:
            first = session.open_uni()
            session.open_bidi()
            try:
                session.open_uni()
            except TooManyStreams:
                outcome.append("too many")
            first.finish()
            await first.delivered()
            session.open_uni()
            outcome.append("opened")
            await session.wait_closed()

        opened(open_many, max_streams=2)
        self.assertEqual(outcome, ["too many", "opened"])
