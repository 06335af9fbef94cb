"""Time and a connection: idleness, keepalive, clocks that step."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http3 import Http3Config
from tests.streams.http3.resources import Open, Recorder
from tests.streams.http3.wire import Net


class TimeTests(SynchronousTestCase):
    """`QuicDriver`."""

    def test_idle_connection_ends(self) -> None:
        """A connection with nothing under way is dropped after the idle timeout."""
        net = Net(config=Http3Config(idle_timeout=10, keepalive=4))
        net.client()
        net.pump(9, step=0.1)
        self.assertEqual(net.server.connections, 1)
        net.pump(2, step=0.1)
        self.assertEqual(net.server.connections, 0)

    def test_quiet_request_is_kept_alive(self) -> None:
        """A response that is silent for long does not meet the idle timeout."""
        resource = Open()
        net = Net(resource, config=Http3Config(idle_timeout=10, keepalive=4))
        client = net.client()
        stream = client.request()
        net.pump(60, step=0.1)
        self.assertEqual(resource.ended, [])
        resource.request.finish()
        net.pump()
        self.assertEqual(client.status(stream), 200)

    def test_dead_client_is_noticed(self) -> None:
        """A client that vanished without a word is given up, in spite of its open request."""
        resource = Open()
        net = Net(resource, config=Http3Config(idle_timeout=10, keepalive=4))
        client = net.client()
        client.request()
        net.pump()
        net.clients.clear()
        net.pump(15, step=0.1)
        self.assertEqual(len(resource.ended), 1)
        self.assertEqual(net.server.connections, 0)

    def test_one_timer(self) -> None:
        """A connection has one timer, however much goes on."""
        net = Net(Recorder())
        client = net.client()
        for _ in range(20):
            client.request()
        net.pump()
        self.assertEqual(len(net.clock.getDelayedCalls()), 1)

    def test_clock_that_steps_back(self) -> None:
        """A wall clock that is set back stops nothing."""
        net = Net(Recorder())
        client = net.client()
        now = net.clock.rightNow
        seconds = net.clock.seconds
        self.patch(net.server.protocol._clock, "seconds", lambda: seconds() - 3600)
        self.assertLess(net.clock.seconds(), now)
        self.patch(client, "clock", type("Own", (), {"seconds": staticmethod(seconds)}))
        stream = client.request()
        for data, _ in client.quic.datagrams_to_send(now=seconds()):
            net.server.protocol.datagramReceived(data, client.address)
        net.clock.advance(0)
        for data, _ in net.wire.sent:
            client.receive(data)
        self.assertEqual(client.status(stream), 200)
