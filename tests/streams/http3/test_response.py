"""A response goes at the pace of its reader, and no more of it than that is in memory."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http3 import Http3Config
from tests.streams.http3.resources import Open, PullProducer, PushProducer
from tests.streams.http3.wire import Client, Net

CONFIG = Http3Config(high_water=65536, low_water=16384)
CHUNK = b"x" * 8192


def opened(**quic: int) -> tuple[Client, Open, int]:
    """A client with one open request."""
    resource = Open()
    client = Net(resource, config=CONFIG).client(**quic)
    stream = client.request("/")
    client.net.pump()
    return client, resource, stream


class ResponseTests(SynchronousTestCase):
    """`ResponseBody`."""

    def test_push_producer_is_paused_and_resumed(self) -> None:
        """T6: a producer is paused at the bound, goes on as the client reads, loses nothing."""
        client, resource, stream = opened()
        producer = PushProducer(resource.request, CHUNK)
        written = producer.fill(1000)
        self.assertEqual(written, 8)
        for _ in range(40):
            client.net.pump(0.1)
            written += producer.fill(1000)
        self.assertGreater(written, 100)
        self.assertEqual(producer.told[:2], ["pause", "resume"])
        producer.request.unregisterProducer()
        producer.request.finish()
        client.net.pump(3)
        self.assertEqual(len(client.body(stream)), written * 8192)
        self.assertTrue(client.ended(stream))

    def test_client_that_does_not_read(self) -> None:
        """T6: while nothing is acknowledged nothing more is taken, however long it lasts."""
        client, resource, _ = opened()
        client.net.drop = lambda _: True
        producer = PushProducer(resource.request, CHUNK)
        written = producer.fill(1000)
        for _ in range(20):
            client.net.pump(0.2)
            written += producer.fill(1000)
        self.assertEqual(written, 8)

    def test_pull_producer(self) -> None:
        """A producer that is asked for each piece is asked until it is done."""
        client, resource, stream = opened()
        PullProducer(resource.request, [b"%05d" % number * 1000 for number in range(60)])
        client.net.pump(3)
        self.assertEqual(len(client.body(stream)), 60 * 5000)
        self.assertTrue(client.ended(stream))

    def test_producer_is_stopped(self) -> None:
        """A client that leaves stops the producer."""
        client, resource, stream = opened()
        producer = PushProducer(resource.request, CHUNK)
        client.quic.stop_stream(stream, 0)
        client.net.pump()
        self.assertEqual(producer.told, ["stop"])
