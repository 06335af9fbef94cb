"""Whether the server lives and is ready."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from takotwist import define_channel
from takotwist.adapters.memory import InMemoryReplayLog
from takotwist.adapters.memory.node import MemoryNode, MemoryStore
from takotwist.admin.health import HEALTH_PATH, Health, HealthPage
from takotwist.admin.nodes import NODES_PATH
from takotwist.testing.world import World, WorldClock


class TestHealth(SynchronousTestCase):
    """200 when ready, 503 when not."""

    def ask(self, ready: bool, store: bool = True, live: bool = False) -> tuple[int, object]:
        """Status and body."""
        request = DummyRequest([b""])
        if live:
            request.args[b"live"] = [b""]
        body = HealthPage(lambda: Health(ready, store)).render(request)
        return request.responseCode or 200, json.loads(body)

    def test_ready(self) -> None:
        """A ready server says so."""
        self.assertEqual(self.ask(True), (200, {"live": True, "ready": True, "store": "available"}))

    def test_not_ready(self) -> None:
        """Starting or stopping is 503, and alive all the same."""
        self.assertEqual(self.ask(False)[0], 503)
        self.assertEqual(self.ask(False, live=True)[0], 200)

    def test_log_away(self) -> None:
        """Who comes while the log is away is refused, so the server is not ready, on any page;
        it is again when the log is there, and it was alive all the time."""
        clock = WorldClock()
        stored = InMemoryReplayLog(clock)
        stored.start()
        node = MemoryNode(MemoryStore(stored), "a")
        world = World(define_channel("news"), log=node, clock=clock)

        def said() -> tuple[int, object, bool]:
            health = world.get(HEALTH_PATH)
            [own] = world.get(NODES_PATH, private=True).json["nodes"]
            metrics = world.get("/_tako/metrics", private=True).body.decode()
            self.assertIn(f"tako_ready {float(own['ready'])}", metrics)
            self.assertEqual(health.json["ready"], own["ready"])
            return health.status, health.json["store"], own["store_available"]

        self.assertEqual(said(), (200, "available", True))
        node.cut()
        self.assertEqual(said(), (503, "unavailable", False))
        self.assertEqual(world.get(f"{HEALTH_PATH}?live").status, 200)
        self.assertEqual(world.subscribe("/channels/news").status, 503)
        # A publish that failed for it is no news of a store that is there again.
        body = {"type": "msg", "data": 1}
        answer = world.request("POST", "/channels/news", body=body, private=True)
        self.assertEqual(answer.status, 503)
        node.mend()
        self.assertEqual(said(), (200, "available", True))

    def test_store(self) -> None:
        """A log that cannot be written takes no connection away, so the server stays ready."""
        self.assertEqual(
            self.ask(True, store=False),
            (200, {"live": True, "ready": True, "store": "unavailable"}),
        )

    def test_ids_ahead(self) -> None:
        """How far ids are ahead of the clock is there when they are."""
        body = HealthPage(lambda: Health(True, True, 7200)).render(DummyRequest([b""]))
        self.assertEqual(json.loads(body)["ids_ahead_seconds"], 7200)
