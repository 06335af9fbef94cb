"""One HTTP/3 connection: where its events go, and what its end leaves behind."""

from __future__ import annotations

from typing import Any

from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import ErrorCode
from aioquic.quic.events import ConnectionTerminated, StreamReset
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http3 import Http3Config
from takotwist.streams.http3.connection import Http3Connection
from takotwist.streams.webtransport import WebTransportSession, webtransport
from tests.streams.http3.resources import Open, Recorder
from tests.streams.http3.wire import Client, Net


async def until_closed(session: WebTransportSession) -> None:
    """A handler that waits for the end."""
    await session.wait_closed()


def connection_of(net: Net) -> Http3Connection:
    """The server's end of the only connection."""
    [connection] = net.server.protocol.connections
    return connection


def close_of(client: Client) -> ConnectionTerminated | None:
    """How the client was told that its connection is over."""
    client.net.pump(1)
    for event in client.quic_events:
        if isinstance(event, ConnectionTerminated):
            return event
    return None


class EventsTests(SynchronousTestCase):
    """Events of QUIC, and who gets them."""

    def test_request(self) -> None:
        """A head begins a request; its body comes in pieces, and its end once."""
        recorder = Recorder()
        client = Net(recorder).client()
        stream = client.request("/p", "POST", b"ab", end=False)
        client.net.pump()
        client.h3.send_data(stream, b"cd", end_stream=True)
        client.net.pump()
        self.assertEqual(client.body(stream), b"POST|/p|HTTP/3|4|abcd")
        self.assertEqual(len(recorder.requests), 1)

    def test_trailers(self) -> None:
        """Fields behind the body end a request, and begin none."""
        recorder = Recorder()
        client = Net(recorder).client()
        stream = client.request("/p", "POST", b"ab", end=False)
        client.h3.send_headers(stream, [(b"x-trailer", b"1")], end_stream=True)
        client.net.pump()
        self.assertEqual(client.status(stream), 200)
        self.assertEqual(len(recorder.requests), 1)

    def test_trailers_of_what_was_answered(self) -> None:
        """They are passed over, where the request has been answered before its end."""
        recorder = Recorder()
        client = Net(recorder).client()
        many = {f"x-{number}": "y" for number in range(101)}
        stream = client.request("/", "POST", b"x", end=False, **many)
        client.h3.send_headers(stream, [(b"x-trailer", b"1")], end_stream=True)
        other = client.request()
        client.net.pump()
        self.assertEqual(client.status(stream), 431)
        self.assertEqual((client.status(other), len(recorder.requests)), (200, 1))
        self.assertIsNone(close_of(client))

    def test_reset_by_the_client(self) -> None:
        """A client that gives a request up ends that one and no other."""
        resource = Open()
        client = Net(resource).client()
        given_up = client.request()
        client.net.pump()
        kept = client.request()
        client.net.pump()
        client.quic.reset_stream(given_up, ErrorCode.H3_REQUEST_CANCELLED)
        client.quic.stop_stream(given_up, ErrorCode.H3_REQUEST_CANCELLED)
        client.net.pump()
        self.assertEqual(len(resource.ended), 1)
        resource.request.finish()
        client.net.pump()
        self.assertEqual(client.status(kept), 200)

    def test_signal_within_a_request(self) -> None:
        """A WebTransport signal that is no beginning of a stream closes the connection."""
        client = Net(Open(), routes=[webtransport("/wt", until_closed)]).client()
        stream = client.request(body=b"x", method="POST", end=False)
        client.net.pump()
        client.quic.send_stream_data(stream, encode_uint_var(0x41) + encode_uint_var(0) + b"data")
        closed = close_of(client)
        assert closed is not None
        self.assertNotEqual(closed.error_code, ErrorCode.H3_NO_ERROR)

    def test_session_of_no_request(self) -> None:
        """A stream of a session whose id no request can have closes the connection."""
        client = Net(routes=[webtransport("/wt", until_closed)]).client()
        client.open(3, b"data")
        closed = close_of(client)
        assert closed is not None
        self.assertEqual(closed.error_code, ErrorCode.H3_ID_ERROR)

    def test_failure_of_ours(self) -> None:
        """An error within closes this connection, with a word, and is logged."""
        client = Net(Recorder()).client()
        connection = connection_of(client.net)

        def fail(event: Any) -> None:
            raise ZeroDivisionError

        self.patch(connection, "_dispatch", fail)
        client.request()
        closed = close_of(client)
        assert closed is not None
        self.assertEqual(closed.error_code, ErrorCode.H3_INTERNAL_ERROR)
        self.assertGreaterEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class BusyTests(SynchronousTestCase):
    """Whether a connection may be left."""

    def test_requests(self) -> None:
        """While one is under way, and not before or after."""
        resource = Open()
        client = Net(resource).client()
        connection = connection_of(client.net)
        self.assertFalse(connection.busy)
        client.request()
        client.net.pump()
        self.assertTrue(connection.busy)
        resource.request.finish()
        client.net.pump()
        self.assertFalse(connection.busy)

    def test_sessions(self) -> None:
        """While a WebTransport session is open."""
        client = Net(routes=[webtransport("/wt", until_closed)]).client()
        connection = connection_of(client.net)
        client.connect()
        client.net.pump()
        self.assertTrue(connection.busy)
        client.quic.close(error_code=ErrorCode.H3_NO_ERROR)
        client.net.pump()
        self.assertFalse(connection.busy)


class EndTests(SynchronousTestCase):
    """The end of a connection is told once, to everybody, and nothing stays of it."""

    def test_drain_idle(self) -> None:
        """With nothing under way it closes at once."""
        client = Net(Recorder()).client()
        connection_of(client.net).drain()
        closed = close_of(client)
        assert closed is not None
        self.assertEqual(
            (closed.error_code, closed.reason_phrase), (ErrorCode.H3_NO_ERROR, "shutting down")
        )

    def test_drain_busy(self) -> None:
        """What is under way is finished first; what comes later is rejected and may be sent
        elsewhere; a second drain changes nothing."""
        resource = Open()
        client = Net(resource).client()
        connection = connection_of(client.net)
        stream = client.request()
        client.net.pump()
        connection.drain()
        connection.drain()
        late = client.request()
        client.net.pump()
        rejected = client.quic_event(StreamReset, late)
        self.assertEqual(rejected.error_code, ErrorCode.H3_REQUEST_REJECTED)
        self.assertIsNone(close_of(client))
        resource.request.write(b"done")
        resource.request.finish()
        closed = close_of(client)
        assert closed is not None
        self.assertEqual((client.body(stream), closed.error_code), (b"done", ErrorCode.H3_NO_ERROR))

    def test_close(self) -> None:
        """Requests and sessions are told in the turn in which it is closed."""
        resource = Open()
        sessions: list[WebTransportSession] = []

        async def handler(session: WebTransportSession) -> None:
            sessions.append(session)
            await session.wait_closed()

        client = Net(resource, routes=[webtransport("/wt", handler)]).client()
        client.request()
        client.connect()
        client.net.pump()
        connection = connection_of(client.net)
        connection.close(ErrorCode.H3_INTERNAL_ERROR, "why")
        self.assertEqual(len(resource.ended), 1)
        self.assertIsNotNone(sessions[0].closed)
        self.assertFalse(connection.busy)
        connection.close(ErrorCode.H3_NO_ERROR, "again")
        self.assertEqual(len(resource.ended), 1)
        closed = close_of(client)
        assert closed is not None
        self.assertEqual(closed.reason_phrase, "why")

    def test_one_that_fails(self) -> None:
        """A stream that fails when it is told does not keep the others from being told."""
        resource = Open()
        client = Net(resource).client()
        client.request()
        client.net.pump()
        first = resource.request
        client.request()
        client.net.pump()
        connection = connection_of(client.net)

        def fail(reason: str) -> None:
            raise ZeroDivisionError

        [one, *_] = connection._streams.requests.values()
        self.patch(one, "connection_lost", fail)
        connection.close(ErrorCode.H3_NO_ERROR, "")
        self.assertEqual(len(resource.ended), 1)
        self.assertIsNot(resource.request, first)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_nothing_stays(self) -> None:
        """When the closing period is over no id, no timer and no connection is left."""
        net = Net(Recorder(), config=Http3Config(idle_timeout=5, keepalive=2))
        client = net.client()
        self.assertEqual(len(net.server.protocol.connections), 1)
        client.quic.close(error_code=ErrorCode.H3_NO_ERROR)
        net.pump(5)
        self.assertEqual(list(net.server.protocol.connections), [])
        self.assertEqual(net.server.protocol._ids, {})

    def test_silence(self) -> None:
        """A client that says no more is gone after the idle timeout."""
        net = Net(Open(), config=Http3Config(idle_timeout=5, keepalive=2))
        client = net.client()
        client.request()
        net.pump()
        resource: Any = net.site.resource
        net.clients.clear()
        net.pump(12)
        self.assertEqual(len(resource.ended), 1)
        self.assertEqual(list(net.server.protocol.connections), [])
