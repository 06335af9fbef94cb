"""Connections of Pusher's clients: who is let in, how long they stay, and how they end."""

from __future__ import annotations

import itertools

from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config import Config, Limits
from takotwist.testing.world import World
from tests.facades.pusher.here import KEY, Client, Here, frame_data


class ConnectionTests(SynchronousTestCase):
    """Who is let in, and with which code who is not."""

    def test_established(self) -> None:
        client = Here.of().connect()
        first = client.socket.frames[0]
        self.assertEqual(first["event"], "pusher:connection_established")
        self.assertRegex(client.socket_id, r"^\d+\.\d+$")
        self.assertEqual(frame_data(first)["activity_timeout"], 30)
        client.say("pusher:ping", {})
        self.assertEqual(client.events, [{"event": "pusher:pong", "data": "{}"}])

    def refused(self, client: Client, code: int) -> None:
        [error] = client.socket.frames
        self.assertEqual((error["event"], error["data"]["code"]), ("pusher:error", code))
        assert client.socket.close_reason is not None
        self.assertEqual(client.socket.close_reason[0], code)

    def test_refused(self) -> None:
        here = Here.of()
        self.refused(Client(here.world.connect("/app/other?protocol=7")), 4001)
        self.refused(here.connect("client=js"), 4008)
        self.refused(here.connect("protocol=3"), 4007)
        self.refused(Here.of(enabled=False).connect(), 4003)
        self.refused(Here.of(tls_only=True).connect(), 4000)
        origins = Here.of(pusher={"allowed_origins": ("https://a.example",)})
        self.refused(origins.connect(headers={"Origin": "https://b.example"}), 4009)
        self.assertEqual(len(origins.connect(headers={"Origin": "https://a.example"}).events), 0)
        self.assertEqual(len(origins.connect().events), 0)

    def test_full(self) -> None:
        here = Here.of(max_connections=1)
        first = here.connect()
        self.refused(here.connect(), 4100)
        first.socket.close()
        self.assertEqual(here.connect().events, [])
        whole = Here.of(config=Config(limits=Limits(max_connections=1)))
        whole.connect()
        self.refused(whole.connect(), 4100)

    def test_not_an_upgrade(self) -> None:
        here = Here.of()
        self.assertEqual(here.world.get(f"/app/{KEY}?protocol=7").status, 426)

    def test_path(self) -> None:
        here = Here.of(pusher={"path": "/pusher"})
        self.assertEqual(here.connect().socket.status, 404)
        client = Client(here.world.connect(f"/pusher/app/{KEY}?protocol=7"))
        self.assertRegex(client.socket_id, r"^\d+\.\d+$")

    def test_not_configured(self) -> None:
        self.assertEqual(World().connect(f"/app/{KEY}?protocol=7").status, 404)
        self.assertEqual(World().get("/channels/pusher?app=main&name=news").status, 404)

    def test_silent(self) -> None:
        """Who answers no ping of WebSocket's is dropped, and leaves its channels."""
        here = Here.of()
        client = here.connect()
        client.subscribe("news")
        here.world.advance(100)
        self.assertTrue(client.socket.closed)
        channels = here.api("GET", "/apps/7/channels").json
        self.assertEqual(channels, {"channels": {}})

    def test_drain(self) -> None:
        """A stop says 1001, which makes clients wait a second, to few at once, over all of the
        time that it has."""
        limits = Limits(drain_seconds=5, connect_rate=0)
        here = Here.of(config=Config(limits=limits))
        clients = [here.connect() for _ in range(600)]
        here.world.stop()
        closed = [0]
        while len(closed) < 60 and closed[-1] < len(clients):
            reasons = [client.socket.close_reason for client in clients]
            closed.append(sum(one is not None for one in reasons))
            here.world.clock.advance(0.1)
        self.assertEqual({one[0] for one in reasons if one is not None}, {1001})
        at_once = [after - before for before, after in itertools.pairwise(closed)]
        self.assertEqual(sum(at_once), len(clients))
        self.assertLessEqual(max(at_once), 24)
        self.assertGreater(len(at_once), 25)
