"""Starting, stopping, and a new certificate.

The header that leads browsers to the HTTP/3 endpoint.
"""

from __future__ import annotations

from datetime import UTC, datetime

from aioquic.h3.connection import ErrorCode
from aioquic.quic.events import ConnectionTerminated, StreamReset
from aioquic.quic.packet import QuicErrorCode
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http3 import Http3Config, alt_svc
from takotwist.streams.http3.connection import NEWCOMER_SECONDS
from takotwist.streams.webtransport import WebTransportSession, webtransport
from takotwist.tls.certificate import short_lived_certificate
from tests.streams.http3.resources import Open, Recorder
from tests.streams.http3.wire import Client, Net


def hello(client: Client) -> None:
    """Give the server the client's first datagrams; what it answers stays on the wire."""
    for data, _ in client.quic.datagrams_to_send(now=client.clock.seconds()):
        client.net.server.protocol.datagramReceived(data, client.address)
    client.clock.advance(0)


def close_code(client: Client) -> int | None:
    """The code with which the connection was closed."""
    for event in client.quic_events:
        if isinstance(event, ConnectionTerminated):
            return event.error_code
    return None


class StopTests(SynchronousTestCase):
    """`Http3Server.stop`."""

    def test_idle(self) -> None:
        """With nothing under way a stop is immediate, and told to the clients."""
        net = Net()
        client = net.client()
        stopped = net.server.stop()
        net.pump()
        self.successResultOf(stopped)
        self.assertTrue(net.wire.stopped)
        [end] = [event for event in client.quic_events if isinstance(event, ConnectionTerminated)]
        self.assertEqual(end.error_code, ErrorCode.H3_NO_ERROR)
        self.assertEqual(net.server.protocol._ids, {})

    def test_what_is_under_way_is_finished(self) -> None:
        """A response under way is finished before the port is left; new requests are not begun."""
        resource = Open()
        net = Net(resource)
        client = net.client()
        stream = client.request()
        net.pump()
        stopped = net.server.stop()
        net.pump()
        self.assertNoResult(stopped)
        late = client.request()
        net.pump()
        rejected = client.quic_event(StreamReset, late)
        self.assertEqual(rejected.error_code, ErrorCode.H3_REQUEST_REJECTED)
        resource.request.write(b"done")
        resource.request.finish()
        net.pump()
        self.successResultOf(stopped)
        self.assertEqual(client.body(stream), b"done")
        self.assertTrue(client.ended(stream))

    def test_what_was_written_is_delivered(self) -> None:
        """A response that is written, and not yet with its client, is under way as well."""
        resource = Open()
        net = Net(resource)
        client = net.client()
        stream = client.request()
        net.pump()
        resource.request.write(b"x" * 500_000)
        resource.request.finish()
        stopped = net.server.stop()
        net.pump(0.02)
        self.assertNoResult(stopped)
        net.pump(3)
        self.successResultOf(stopped)
        self.assertEqual(len(client.body(stream)), 500_000)
        self.assertTrue(client.ended(stream))

    def test_what_does_not_end_is_ended(self) -> None:
        """A response that never ends holds the stop up for `drain_seconds`, or those said."""
        for drain_seconds, said in ((2, None), (50, 2)):
            resource = Open()
            net = Net(resource, config=Http3Config(drain_seconds=drain_seconds))
            net.client().request()
            net.pump()
            stopped = net.server.stop(said)
            net.pump(1.5)
            self.assertNoResult(stopped)
            net.pump(1)
            self.successResultOf(stopped)
            self.assertEqual(len(resource.ended), 1)
            self.assertEqual(net.clock.getDelayedCalls(), [])

    def test_new_clients_are_refused(self) -> None:
        """While it stops, the server takes no new connection."""
        net = Net(Open())
        net.client().request()
        net.pump()
        net.server.stop()
        net.client(("203.0.113.1", 9))
        self.assertEqual(net.server.connections, 1)

    def test_handshake_is_finished(self) -> None:
        """A client that has just come as the stop begins is served, and told to go after that."""
        resource = Open()
        net = Net(resource)
        client, other = net.stranger(), net.stranger(("203.0.113.1", 9))
        asked = client.request()
        for one in net.clients:
            hello(one)
        stopped = net.server.stop(9)
        net.pump(0.5)
        self.assertEqual(close_code(other), ErrorCode.H3_NO_ERROR)
        self.assertNoResult(stopped)
        resource.request.finish()
        net.pump(0.5)
        self.successResultOf(stopped)
        self.assertTrue(client.ended(asked))
        self.assertEqual((client.status(asked), close_code(client)), (200, ErrorCode.H3_NO_ERROR))

    def test_handshake_that_stops(self) -> None:
        """Who does not finish a handshake is not waited for long, and is refused then."""
        for given, waited in ((9.0, NEWCOMER_SECONDS), (1.0, 1.0)):
            net = Net(Recorder())
            client = net.stranger()
            hello(client)
            net.clients.remove(client)
            stopped = net.server.stop(given)
            net.pump(waited - 0.1)
            self.assertNoResult(stopped)
            net.clients.append(client)
            net.wire.sent.clear()
            self.patch(client.quic, "datagrams_to_send", lambda now: [])
            net.pump(1)
            self.successResultOf(stopped)
            self.assertEqual(close_code(client), QuicErrorCode.CONNECTION_REFUSED)

    def test_sessions_are_drained(self) -> None:
        """A session is asked to end, and closed with 1001 where it does not."""
        asked: list[bool] = []

        async def stay(session: WebTransportSession) -> None:
            await session.wait_draining()
            asked.append(session.draining)
            await session.wait_closed()

        net = Net(routes=[webtransport("/wt", stay)], config=Http3Config(drain_seconds=1))
        client = net.client()
        session = client.connect()
        net.pump()
        stopped = net.server.stop()
        net.pump(0.5)
        self.assertEqual(asked, [True])
        self.assertIn(b"\x80\x00\x78\xae\x00", client.body(session))
        net.pump(1)
        self.successResultOf(stopped)
        self.assertIn(b"\x00\x00\x03\xe9shutting-down", client.body(session))

    def test_no_handler_outlasts_it(self) -> None:
        """A handler that does not come to its end is cancelled with the stop, not after it."""
        ended: list[str] = []

        async def stick(session: WebTransportSession) -> None:
            try:
                await Deferred()
            finally:
                ended.append("ended")

        net = Net(routes=[webtransport("/wt", stick)], config=Http3Config(drain_seconds=1))
        client = net.client()
        client.connect()
        net.pump()
        stopped = net.server.stop()
        net.pump(1.1)
        self.successResultOf(stopped)
        self.assertEqual(ended, ["ended"])
        self.assertEqual(net.clock.getDelayedCalls(), [])


class CertificateTests(SynchronousTestCase):
    """`Http3Server.use_certificate`."""

    def test_new_certificate(self) -> None:
        """Connections to come get the new certificate; those there go on."""
        net = Net(Recorder())
        client = net.client()
        other = short_lived_certificate(["localhost"], now=datetime.now(UTC))
        net.server.use_certificate(other.certificate, other.key)
        stream = client.request()
        net.pump()
        self.assertEqual(client.status(stream), 200)
        distrustful = net.client(("203.0.113.1", 9))
        net.pump(1)
        self.assertTrue(
            any(isinstance(event, ConnectionTerminated) for event in distrustful.quic_events)
        )


class AltSvcTests(SynchronousTestCase):
    """`alt_svc`."""

    def test_value(self) -> None:
        """It names the protocol, the port on the same host, and for how long."""
        self.assertEqual(alt_svc(8443, max_age=60), b'h3=":8443"; ma=60')

    def test_impossible(self) -> None:
        """A port or an age that cannot be is refused by name."""
        self.assertIn("port", str(self.assertRaises(ValueError, alt_svc, 0)))
        self.assertIn("max_age", str(self.assertRaises(ValueError, alt_svc, 1, max_age=-1)))
