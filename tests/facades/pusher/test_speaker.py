"""Frames of Pusher's clients about channels, on a server in memory."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config import Config, Limits
from tests.facades.pusher.here import KEY, SUCCEEDED, Here, frame_data, signed


class SubscriptionTests(SynchronousTestCase):
    """Channels of each kind."""

    def setUp(self) -> None:
        self.here = Here.of()
        self.client = self.here.connect()

    def test_public(self) -> None:
        self.client.subscribe("news", auth="")
        self.here.trigger("news", "hi", {"a": 1})
        succeeded, event = self.client.events
        self.assertEqual(succeeded, {"event": SUCCEEDED, "channel": "news", "data": "{}"})
        self.assertEqual(event, {"event": "hi", "channel": "news", "data": '{"a": 1}'})
        self.client.say("pusher:unsubscribe", {"channel": "news"})
        self.here.trigger("news", "hi", {"a": 2})
        self.assertEqual(len(self.client.events), 2)

    def test_signed(self) -> None:
        for name in ("private-x", "private-encrypted-x"):
            self.client.subscribe(name)
            self.assertEqual(self.client.events[-1]["event"], SUCCEEDED)
        for auth in (None, "", "x", f"{KEY}:" + "0" * 64, 7):
            self.client.subscribe("private-y", auth=auth)
            error = self.client.events[-1]
            self.assertEqual(error["event"], "pusher:subscription_error")
            self.assertEqual(error["channel"], "private-y")
            self.assertEqual(frame_data(error)["type"], "AuthError")
            self.assertEqual(frame_data(error)["status"], 401)
        self.here.trigger("private-y", "hi", {})
        self.assertEqual(self.client.events[-1]["event"], "pusher:subscription_error")

    def test_signature_of_another(self) -> None:
        """A signature is good for one connection and one channel."""
        other = self.here.connect()
        other.subscribe("private-x")
        stolen = f"{KEY}:{signed(f'{other.socket_id}:private-x')}"
        self.client.subscribe("private-x", auth=stolen)
        self.assertEqual(self.client.events[-1]["event"], "pusher:subscription_error")

    def test_bad(self) -> None:
        self.client.socket.say("{")
        self.client.say("pusher:subscribe", {"channel": "a b"})
        self.client.say("pusher:subscribe", 7)
        self.client.say("pusher:nothing", {})
        self.client.subscribe("news")
        self.client.subscribe("news")
        said = [one["event"] for one in self.client.events]
        self.assertEqual(said, ["pusher:error"] * 4 + [SUCCEEDED, "pusher:error"])
        self.assertIn("Existing subscription", self.client.events[-1]["data"]["message"])

    def test_too_many(self) -> None:
        here = Here.of(config=Config(limits=Limits(max_subscriptions_per_connection=2)))
        client = here.connect()
        for name in ("a", "b", "c"):
            client.subscribe(name)
        self.assertEqual(frame_data(client.events[-1])["type"], "LimitReached")
        self.assertEqual(here.api("GET", "/apps/7/channels").json, {"channels": {"a": {}, "b": {}}})

    def test_cache(self) -> None:
        self.client.subscribe("cache-x")
        self.assertEqual(
            self.client.events[1], {"event": "pusher:cache_miss", "channel": "cache-x"}
        )
        for number in range(3):
            self.here.trigger("cache-x", "hi", {"n": number})
        self.here.world.advance(300)
        late = self.here.connect()
        late.subscribe("cache-x")
        self.here.trigger("cache-x", "hi", {"n": 3})
        said = [(one["event"], one["data"]) for one in late.events]
        self.assertEqual(said, [(SUCCEEDED, "{}"), ("hi", '{"n": 2}'), ("hi", '{"n": 3}')])

    def test_cache_many(self) -> None:
        """The last of many, none of which is near."""
        for number in range(1500):
            self.here.trigger("cache-x", "hi", {"n": number})
        self.here.world.advance(500)
        self.client.socket.pong()
        late = self.here.connect()
        late.subscribe("cache-x")
        self.assertEqual(late.events[1]["data"], '{"n": 1499}')
