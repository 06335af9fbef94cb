"""Events that Pusher's clients say to each other."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.testing.manual_log import ManualLog
from takotwist.testing.world import BEGINNING, WorldClock
from tests.facades.pusher.here import Here


class ClientEventTests(SynchronousTestCase):
    """What clients say to each other."""

    def setUp(self) -> None:
        self.here = Here.of()
        self.ann, self.bob = self.here.connect(), self.here.connect()
        for client, name in ((self.ann, "ann"), (self.bob, "bob")):
            client.subscribe("private-x")
            client.subscribe("presence-x", {"user_id": name})
            client.subscribe("news")
            client.subscribe("private-encrypted-x")
        self.before = len(self.ann.events), len(self.bob.events)

    def of_ann(self) -> list[Any]:
        return self.ann.events[self.before[0] :]

    def of_bob(self) -> list[Any]:
        return self.bob.events[self.before[1] :]

    def test_to_others(self) -> None:
        self.ann.say("client-typing", {"on": True}, channel="private-x")
        self.ann.say("client-typing", "x", channel="presence-x")
        self.assertEqual(self.of_ann(), [])
        self.assertEqual(
            self.of_bob(),
            [
                {"event": "client-typing", "channel": "private-x", "data": '{"on":true}'},
                {"event": "client-typing", "channel": "presence-x", "data": "x", "user_id": "ann"},
            ],
        )

    def test_not_stored(self) -> None:
        self.ann.say("client-typing", {}, channel="private-x")
        target = "/channels/pusher?app=main&name=private-x"
        stored = self.here.world.get(target.replace("?", "/history?"), private=True).json
        self.assertEqual(stored["messages"], [])

    def test_refused(self) -> None:
        self.ann.say("client-x", {}, channel="news")
        self.ann.say("client-x", {}, channel="private-encrypted-x")
        self.ann.say("client-x", {}, channel="private-other")
        self.ann.say("client-x", {}, channel=None)
        self.ann.say("client-x", "x" * 20_000, channel="private-x")
        self.ann.say("client-" + "x" * 300, {}, channel="private-x")
        codes = [(one["event"], one["data"]["code"]) for one in self.of_ann()]
        self.assertEqual(codes, [("pusher:error", 4301)] * 6)
        self.assertEqual(self.of_bob(), [])

    def test_not_enabled(self) -> None:
        here = Here.of(client_events=False)
        client = here.connect()
        client.subscribe("private-x")
        client.say("client-x", {}, channel="private-x")
        self.assertEqual(client.events[-1]["data"]["code"], 4301)

    def test_rate(self) -> None:
        for _ in range(12):
            self.ann.say("client-x", {}, channel="private-x")
        self.assertEqual((len(self.of_bob()), len(self.of_ann())), (10, 2))
        self.here.world.advance(1)
        self.ann.say("client-x", {}, channel="private-x")
        self.assertEqual(len(self.of_bob()), 11)

    def test_stored(self) -> None:
        """Where it is asked for they are stored, and still not said back to who said them."""
        here = Here.of(store_client_events=True)
        ann, bob = here.connect(), here.connect()
        ann.subscribe("presence-x", {"user_id": "ann"})
        bob.subscribe("presence-x", {"user_id": "bob"})
        for number in range(3):
            ann.say("client-x", {"n": number}, channel="presence-x")
        said = [(one["data"], one["user_id"]) for one in bob.events[1:]]
        self.assertEqual(said, [(f'{{"n":{n}}}', "ann") for n in range(3)])
        self.assertEqual(len(ann.events), 2)
        target = "/channels/pusher/history?app=main&name=presence-x"
        stored = here.world.get(target, private=True).json["messages"]
        self.assertEqual([one["data"] for one in stored], [{"n": n} for n in range(3)])

    def test_stored_alike(self) -> None:
        """Two users who say the same, one transaction after the other, are told apart."""
        clock = WorldClock()
        clock.rightNow = BEGINNING
        log = ManualLog(InMemoryReplayLog(clock))
        here = Here.of(store_client_events=True, world={"log": log, "clock": clock})
        clients = [here.connect() for _ in range(3)]
        for client, name in zip(clients, ("ann", "bob", "cy"), strict=True):
            client.subscribe("presence-x", {"user_id": name})
        for client in clients[:2]:
            client.say("client-x", {}, channel="presence-x")
        for _ in range(2):
            self.assertTrue(log.report())
        said = [one["user_id"] for one in clients[2].events if one["event"] == "client-x"]
        self.assertEqual(said, ["ann", "bob"])
