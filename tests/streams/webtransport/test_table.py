"""Who gets a session, and whose stream it is: T2, T3 and T4 of the WebTransport checklist."""

from __future__ import annotations

from typing import Any

from aioquic.h3.events import DatagramReceived
from aioquic.quic.events import StopSendingReceived, StreamReset
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.webtransport import (
    Routes,
    SessionRequest,
    WebTransportConfig,
    WebTransportSession,
    webtransport,
)
from takotwist.streams.webtransport.errors import BUFFERED_STREAM_REJECTED, SESSION_GONE
from tests.streams.http3.resources import Recorder
from tests.streams.http3.wire import Client, Net


class Handler:
    """Answers streams and datagrams with what it got and the number of the session."""

    def __init__(self) -> None:
        self.sessions: list[WebTransportSession] = []
        self.ended: list[int] = []

    async def __call__(self, session: WebTransportSession) -> None:
        mark = b"%d:" % len(self.sessions)
        self.sessions.append(session)
        session.start(self.datagrams(session, mark))
        async for stream in session.incoming_bidi:
            await stream.send(mark + await stream.read_all(1000))
            stream.finish()
        self.ended.append(session.id)

    async def datagrams(self, session: WebTransportSession, mark: bytes) -> None:
        async for data in session.datagrams:
            session.datagrams.send(mark + data)


def serving(admit: Any = None, **limits: Any) -> tuple[Net, Handler]:
    """A server with one route."""
    handler = Handler()
    config = WebTransportConfig(**limits)
    net = Net(Recorder(), [webtransport("/wt", handler, config=config, admit=admit)])
    return net, handler


def datagrams(client: Client) -> list[bytes]:
    """Those that came."""
    return [event.data for event in client.events if isinstance(event, DatagramReceived)]


class AdmissionTests(SynchronousTestCase):
    """Who gets a session."""

    def test_t2_origin(self) -> None:
        """T2: a page from elsewhere is answered 403, and the handler never hears of it."""
        net, handler = serving()
        client = net.client()
        refused = client.connect(origin="https://evil.example")
        accepted = client.connect(origin="https://localhost")
        net.pump()
        self.assertEqual(client.status(refused), 403)
        self.assertTrue(client.ended(refused))
        self.assertEqual(client.status(accepted), 200)
        self.assertEqual(len(handler.sessions), 1)

    def test_t2_path(self) -> None:
        """T2: an unknown path is answered 404."""
        net, handler = serving()
        client = net.client()
        stream = client.connect("/other")
        net.pump()
        self.assertEqual(client.status(stream), 404)
        self.assertEqual(handler.sessions, [])

    def test_both_tokens(self) -> None:
        """WebTransport is asked for by its old name and by its new one; nothing else is."""
        net, _ = serving()
        client = net.client()
        streams = [client.connect(protocol=p) for p in ("webtransport", "webtransport-h3", "ws")]
        net.pump()
        self.assertEqual([client.status(stream) for stream in streams], [200, 200, 501])

    def test_sessions_of_a_connection(self) -> None:
        """Past the bound of a connection a session is answered 429, until another ends."""
        net, _ = serving(max_sessions_per_connection=1)
        client = net.client()
        first, second = client.connect(), client.connect()
        net.pump()
        self.assertEqual([client.status(first), client.status(second)], [200, 429])
        client.h3.send_data(first, b"", end_stream=True)
        net.pump()
        third = client.connect()
        net.pump()
        self.assertEqual(client.status(third), 200)

    def test_sessions_of_a_route(self) -> None:
        """The bound of a route counts over all connections, and lost ones count no more."""
        net, _ = serving(max_sessions=1)
        one, other = net.client(), net.client(("192.0.2.8", 1))
        first = one.connect()
        net.pump()
        refused = other.connect()
        net.pump()
        self.assertEqual([one.status(first), other.status(refused)], [200, 429])
        one.quic.close()
        net.pump()
        accepted = other.connect()
        net.pump()
        self.assertEqual(other.status(accepted), 200)

    def test_admit(self) -> None:
        """The application is asked before the 200, may take its time, and may refuse."""
        answers: list[Deferred[int]] = []
        asked: list[SessionRequest] = []

        async def admit(request: SessionRequest) -> int:
            asked.append(request)
            answers.append(Deferred())
            return await answers[-1]

        net, handler = serving(admit)
        client = net.client()
        first, second = client.connect("/wt?x=1", authorization="Bearer t"), client.connect()
        early = client.open(first, b"early", end=True)
        net.pump()
        self.assertEqual([client.status(first), client.status(second)], [None, None])
        self.assertEqual(asked[0].query, "x=1")
        answers[0].callback(200)
        answers[1].callback(401)
        net.pump()
        self.assertEqual([client.status(first), client.status(second)], [200, 401])
        self.assertEqual(client.raw[early], b"0:early")
        self.assertEqual(len(handler.sessions), 1)

    def test_admit_at_once(self) -> None:
        """A plain function can decide as well."""
        net, _ = serving(lambda request: 403 if request.origin is None else 200)
        client = net.client()
        refused, accepted = client.connect(), client.connect(origin="https://localhost")
        net.pump()
        self.assertEqual([client.status(refused), client.status(accepted)], [403, 200])

    def test_admit_fails(self) -> None:
        """An `admit` that raises is answered 500 and logged."""

        def admit(request: SessionRequest) -> int:
            raise RuntimeError("on purpose")

        net, _ = serving(admit)
        client = net.client()
        stream = client.connect()
        net.pump()
        self.assertEqual(client.status(stream), 500)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_leaves_while_asked(self) -> None:
        """A client that leaves while the application is asked is not served any more."""
        answer: Deferred[int] = Deferred()

        async def admit(request: SessionRequest) -> int:
            return await answer

        net, handler = serving(admit)
        client = net.client()
        client.connect()
        net.pump()
        client.quic.close()
        net.pump()
        answer.callback(200)
        self.assertEqual(handler.sessions, [])

    def test_routes(self) -> None:
        """No routes, two of one path, and a path that is none, are refused."""

        async def handler(session: WebTransportSession) -> None:
            """Never called."""

        self.assertRaises(ValueError, Routes, [])
        self.assertRaises(
            ValueError, Routes, [webtransport("/a", handler), webtransport("/a", handler)]
        )
        for path in ("a", "/a?b", ""):
            self.assertRaises(ValueError, webtransport, path, handler)


class IsolationTests(SynchronousTestCase):
    """Several sessions on one connection."""

    def test_t3_sessions_are_isolated(self) -> None:
        """T3: streams and datagrams reach their own session, and one's end is not the other's."""
        net, handler = serving()
        client = net.client()
        first = client.connect()
        net.pump()
        second = client.connect()
        net.pump()
        a, b = client.open(first, b"a", end=True), client.open(second, b"b", end=True)
        client.h3.send_datagram(first, b"c")
        client.h3.send_datagram(second, b"d")
        net.pump()
        self.assertEqual([client.raw[a], client.raw[b]], [b"0:a", b"1:b"])
        self.assertEqual(sorted(datagrams(client)), [b"0:c", b"1:d"])
        handler.sessions[0].close(7)
        net.pump()
        c = client.open(second, b"c", end=True)
        client.h3.send_datagram(second, b"e")
        net.pump()
        self.assertEqual(client.raw[c], b"1:c")
        self.assertIn(b"1:e", datagrams(client))
        self.assertEqual(handler.ended, [first])

    def test_beside_requests(self) -> None:
        """Plain requests are served on the same connection."""
        net, _ = serving()
        client = net.client()
        session = client.connect()
        request = client.request("/x")
        stream = client.open(session, b"a", end=True)
        net.pump()
        self.assertEqual(client.body(request), b"GET|/x|HTTP/3|0|")
        self.assertEqual(client.raw[stream], b"0:a")


class EarlyTests(SynchronousTestCase):
    """What comes before its session, or for none."""

    def before_connect(self, client: Client, *data: bytes) -> list[int]:
        """Streams of a session whose CONNECT will be stream 0."""
        # Ids 4 and on: aioquic gives ids out in order, and 0 is kept for the CONNECT.
        client.quic._local_next_stream_id_bidi = 4
        return [client.open(0, each, end=True) for each in data]

    def connect_late(self, client: Client) -> None:
        """The CONNECT, on stream 0."""
        client.quic._local_next_stream_id_bidi, saved = 0, client.quic._local_next_stream_id_bidi
        client.connect()
        client.quic._local_next_stream_id_bidi = saved

    def test_stream_overtakes_connect(self) -> None:
        """A stream and a datagram that overtake their CONNECT wait for it."""
        net, _ = serving()
        client = net.client()
        [stream] = self.before_connect(client, b"early")
        client.h3.send_datagram(0, b"early too")
        net.pump()
        self.assertIsNone(client.quic_event(StreamReset, stream))
        # The server's QUIC has opened stream 0 by the sight of stream 4.
        self.connect_late(client)
        net.pump()
        self.assertEqual(client.status(0), 200)
        self.assertEqual(client.raw[stream], b"0:early")
        self.assertEqual(datagrams(client), [b"0:early too"])

    def test_early_is_bounded(self) -> None:
        """Past the bound early streams are reset, and early datagrams dropped, oldest first."""
        net, _ = serving(early_streams=2, early_datagrams=2)
        client = net.client()
        streams = self.before_connect(client, b"a", b"b", b"c")
        for data in (b"1", b"2", b"3"):
            client.h3.send_datagram(0, data)
        net.pump()
        self.assertIsNone(client.quic_event(StreamReset, streams[1]))
        reset = client.quic_event(StreamReset, streams[2])
        self.assertEqual(reset.error_code, BUFFERED_STREAM_REJECTED)
        self.connect_late(client)
        net.pump()
        self.assertEqual(datagrams(client), [b"0:2", b"0:3"])

    def test_early_is_not_kept_for_ever(self) -> None:
        """A stream whose session does not come in time is reset."""
        net, _ = serving(early_seconds=1.0)
        client = net.client()
        [stream] = self.before_connect(client, b"early")
        net.pump(0.5)
        self.assertIsNone(client.quic_event(StreamReset, stream))
        net.pump(1)
        reset = client.quic_event(StreamReset, stream)
        self.assertEqual(reset.error_code, BUFFERED_STREAM_REJECTED)
        [connection] = net.server.protocol.connections
        self.assertEqual(connection._quic.unread, 0)

    def test_t4_unknown_session(self) -> None:
        """T4: a stream of a session that is none is reset; the connection and others go on."""
        net, _ = serving()
        client = net.client()
        session = client.connect()
        open_request = client.quic.get_next_available_stream_id()
        client.h3.send_headers(
            open_request,
            [
                (b":method", b"POST"),
                (b":scheme", b"https"),
                (b":authority", b"localhost"),
                (b":path", b"/"),
            ],
        )
        net.pump()
        two_way, one_way = (
            client.open(open_request, b"x"),
            client.open(open_request, b"x", one_way=True),
        )
        net.pump()
        self.assertEqual(client.quic_event(StreamReset, two_way).error_code, SESSION_GONE)
        self.assertEqual(client.quic_event(StopSendingReceived, two_way).error_code, SESSION_GONE)
        self.assertEqual(client.quic_event(StopSendingReceived, one_way).error_code, SESSION_GONE)
        good = client.open(session, b"good", end=True)
        net.pump()
        self.assertEqual(client.raw[good], b"0:good")

    def test_t4_session_that_is_gone(self) -> None:
        """T4: a stream that comes after its session is reset at once; what follows is dropped."""
        net, handler = serving()
        client = net.client()
        session = client.connect()
        net.pump()
        handler.sessions[0].close()
        late = client.open(session, b"late")
        client.h3.send_datagram(session, b"late")
        net.pump()
        self.assertEqual(client.quic_event(StreamReset, late).error_code, SESSION_GONE)
        other = client.connect()
        net.pump()
        self.assertEqual(client.status(other), 200)
        [connection] = net.server.protocol.connections
        self.assertEqual(connection._streams.raw, {})

    def test_reset_early_stream(self) -> None:
        """A stream that its client resets before the session comes is forgotten."""
        net, _ = serving()
        client = net.client()
        client.quic._local_next_stream_id_bidi = 4
        stream = client.open(0, b"early")
        net.pump(0.05)
        client.quic.reset_stream(stream, 1)
        net.pump()
        self.connect_late(client)
        net.pump()
        self.assertEqual(client.status(0), 200)
        [connection] = net.server.protocol.connections
        self.assertEqual(connection._streams.raw, {})
        self.assertEqual(connection._quic.unread, 0)

    def test_connection_lost(self) -> None:
        """A connection that ends takes its early streams and their timer with it."""
        net, _ = serving()
        client = net.client()
        self.before_connect(client, b"early")
        net.pump()
        client.quic.close()
        net.pump(2.5)
        self.assertEqual(net.clock.getDelayedCalls(), [])
