"""Two nodes with one log: to clients and libraries they are one server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.adapters.memory.node import MemoryNode, MemoryStore
from takotwist.testing.world import BEGINNING, WorldClock
from tests.facades.pusher.here import Here, frame_data
from tests.flow.test_webhooks import Receiver


class NodesCase(SynchronousTestCase):
    """A client of each node."""

    app: Mapping[str, Any] = {}

    def setUp(self) -> None:
        self.clock = WorldClock()
        self.clock.rightNow = BEGINNING
        inner = InMemoryReplayLog(self.clock)
        inner.start()
        self.store = MemoryStore(inner)
        self.receivers: list[Receiver] = []
        self.logs: list[MemoryNode] = []
        self.one, self.two = self.node("a"), self.node("b")
        self.ann, self.bob = self.one.connect(), self.two.connect()
        self.pass_time(1)

    def node(self, name: str, **app: Any) -> Here:
        log = MemoryNode(self.store, name)
        self.logs.append(log)
        self.receivers.append(Receiver())
        world = {
            "log": log,
            "clock": self.clock,
            "node": name,
            "webhook_sender": self.receivers[-1],
        }
        return Here.of(world=world, **{**self.app, **app})

    def pass_time(self, seconds: float) -> None:
        """For both."""
        self.one.world.advance(seconds)


class NodesTests(NodesCase):
    """What is of one node is of both."""

    def test_events(self) -> None:
        """A trigger at one node reaches the clients of both, but for the one that is named."""
        for client in (self.ann, self.bob):
            client.subscribe("news")
        self.pass_time(1)
        self.one.trigger("news", "hi", {"n": 1}, socket_id=self.bob.socket_id)
        self.pass_time(1)
        self.assertEqual([one["data"] for one in self.ann.events[1:]], ['{"n": 1}'])
        self.assertEqual(self.bob.events[1:], [])
        self.one.trigger("news", "hi", {"n": 2})
        self.pass_time(1)
        self.assertEqual([one["data"] for one in self.bob.events[1:]], ['{"n": 2}'])

    def test_client_events(self) -> None:
        self.ann.subscribe("presence-x", {"user_id": "ann"})
        self.bob.subscribe("presence-x", {"user_id": "bob"})
        self.pass_time(1)
        before = len(self.bob.events), len(self.ann.events)
        self.ann.say("client-hi", {"n": 1}, channel="presence-x")
        self.pass_time(1)
        [event] = self.bob.events[before[0] :]
        self.assertEqual((event["event"], event["user_id"]), ("client-hi", "ann"))
        self.assertEqual(len(self.ann.events), before[1])

    def test_members(self) -> None:
        """The list is that of both nodes; a user with a tab on each has joined once."""
        self.ann.subscribe("presence-x", {"user_id": "ann", "user_info": {"n": 1}})
        self.pass_time(1)
        self.bob.subscribe("presence-x", {"user_id": "bob"})
        told = frame_data(self.bob.events[0])["presence"]
        self.assertEqual(told["hash"], {"ann": {"n": 1}, "bob": None})
        self.pass_time(1)
        tab = self.two.connect()
        tab.subscribe("presence-x", {"user_id": "ann"})
        self.pass_time(1)
        self.ann.socket.close()
        self.pass_time(1)
        self.assertEqual(len(self.bob.events), 1)
        tab.socket.close()
        self.pass_time(1)
        [removed] = self.bob.events[1:]
        self.assertEqual(frame_data(removed), {"user_id": "ann"})
        [added] = self.ann.events[1:]
        self.assertEqual(frame_data(added), {"user_id": "bob", "user_info": None})

    def test_counts(self) -> None:
        for client in (self.ann, self.bob):
            client.subscribe("news")
        self.pass_time(1)
        asked = {"info": "subscription_count"}
        for node in (self.one, self.two):
            one = node.api("GET", "/apps/7/channels/news", None, asked).json
            self.assertEqual(one, {"occupied": True, "subscription_count": 2})
        self.ann.socket.close()
        self.pass_time(1)
        one = self.one.api("GET", "/apps/7/channels/news", None, asked).json
        self.assertEqual(one, {"occupied": True, "subscription_count": 1})
        self.assertEqual(self.one.api("GET", "/apps/7/channels").json, {"channels": {"news": {}}})

    def test_terminate(self) -> None:
        self.bob.sign_in({"id": "bob"})
        self.one.api("POST", "/apps/7/users/bob/terminate_connections", {})
        self.pass_time(1)
        assert self.bob.socket.close_reason is not None
        self.assertEqual(self.bob.socket.close_reason[0], 4009)

    def test_watchlists(self) -> None:
        """Who signs in on another node is online."""
        self.app = {"watchlists": True}
        self.setUp()
        self.ann.sign_in({"id": "ann", "watchlist": ["bob"]})
        self.bob.sign_in({"id": "bob", "watchlist": ["ann"]})
        self.pass_time(2)
        self.bob.socket.close()
        self.pass_time(6)
        name = "pusher_internal:watchlist_events"
        told = [frame_data(one)["events"] for one in self.ann.events if one["event"] == name]
        expected = [[{"name": one, "user_ids": ["bob"]}] for one in ("online", "offline")]
        self.assertEqual(told, expected)

    def test_a_node_that_comes(self) -> None:
        """It is told what the others have."""
        self.ann.subscribe("presence-x", {"user_id": "ann"})
        self.pass_time(1)
        three = self.node("c")
        self.pass_time(1)
        users = three.api("GET", "/apps/7/channels/presence-x/users").json
        self.assertEqual(users, {"users": [{"id": "ann"}]})

    def test_a_node_that_goes(self) -> None:
        """Its members leave when it has been silent; before that nobody knows."""
        self.ann.subscribe("presence-x", {"user_id": "ann"})
        self.pass_time(1)
        self.bob.subscribe("presence-x", {"user_id": "bob"})
        self.pass_time(1)
        self.logs[0].stop()
        for _ in range(8):
            self.pass_time(2.5)
            self.bob.socket.pong()
        [removed] = self.bob.events[1:]
        self.assertEqual(removed["event"], "pusher_internal:member_removed")
        self.assertEqual(frame_data(removed), {"user_id": "ann"})

    def test_store_away(self) -> None:
        """While the store cannot be reached nobody has left."""
        self.ann.subscribe("presence-x", {"user_id": "ann"})
        self.bob.subscribe("presence-x", {"user_id": "bob"})
        self.pass_time(1)
        before = len(self.bob.events)
        for log in self.logs:
            log.cut()
        for _ in range(30):
            self.pass_time(2)
            self.bob.socket.pong()
            self.ann.socket.pong()
        for log in self.logs:
            log.mend()
        self.pass_time(20)
        self.assertEqual(self.bob.events[before:], [])
        users = self.two.api("GET", "/apps/7/channels/presence-x/users").json
        self.assertEqual(users, {"users": [{"id": "ann"}, {"id": "bob"}]})

    def test_stored_client_events(self) -> None:
        """They say who sent them on both nodes."""
        self.app = {"store_client_events": True}
        self.setUp()
        self.ann.subscribe("presence-x", {"user_id": "ann"})
        self.bob.subscribe("presence-x", {"user_id": "bob"})
        self.pass_time(1)
        before = len(self.bob.events), len(self.ann.events)
        self.ann.say("client-hi", {"n": 1}, channel="presence-x")
        self.pass_time(1)
        [event] = self.bob.events[before[0] :]
        self.assertEqual((event["event"], event["user_id"]), ("client-hi", "ann"))
        self.assertEqual(len(self.ann.events), before[1])


class WebhookTests(NodesCase):
    """What an app is told is of both nodes, and told once."""

    app: Mapping[str, Any] = {"webhook_url": "https://app.example/hook"}

    def test_occupied(self) -> None:
        for client in (self.ann, self.bob):
            client.subscribe("news")
        self.pass_time(20)
        self.ann.socket.close()
        self.pass_time(10)
        self.bob.socket.close()
        self.pass_time(10)
        told = [one["events"][0]["name"] for receiver in self.receivers for one in receiver.got]
        self.assertEqual(told, ["channel_occupied", "channel_vacated"])

    def test_counts(self) -> None:
        """The node where something has changed tells the app of it."""
        self.app = {**self.app, "subscription_count": True}
        self.setUp()
        for client in (self.ann, self.bob):
            client.subscribe("news")
            self.pass_time(5)
        self.ann.socket.close()
        self.pass_time(15)
        events = [one["events"][0] for receiver in self.receivers for one in receiver.got]
        counts = [one["subscription_count"] for one in events if "subscription_count" in one]
        self.assertEqual(counts, [1, 2, 1])
