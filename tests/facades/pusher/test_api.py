"""The HTTP API on a server in memory."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.server.config.pusher import PusherMapKeys
from takotwist.testing.memory_peer import HttpPeer
from tests.facades.pusher.here import ID, Here

EVENTS = f"/apps/{ID}/events"


class TriggerTests(SynchronousTestCase):
    """Events."""

    def setUp(self) -> None:
        self.here = Here.of()
        self.client = self.here.connect()

    def said(self, answer: HttpPeer, status: int, word: str = "") -> None:
        self.assertEqual(answer.status, status, answer.received)
        self.assertIn(word, str(answer.json))

    def test_many(self) -> None:
        for name in ("a", "b"):
            self.client.subscribe(name)
        body = {
            "name": "hi",
            "channels": ["a", "b", "c"],
            "data": "1",
            "info": "subscription_count",
        }
        answer = self.here.api("POST", EVENTS, body)
        counts = {name: {"subscription_count": n} for name, n in (("a", 1), ("b", 1), ("c", 0))}
        self.assertEqual(answer.json, {"channels": counts})
        self.assertEqual([one["channel"] for one in self.client.events[2:]], ["a", "b"])

    def test_left_out(self) -> None:
        """The connection that is named is not given it; all others are, and it gets the next."""
        other = self.here.connect()
        for client in (self.client, other):
            client.subscribe("news")
        for number in range(3):
            self.here.trigger("news", "hi", {"n": number}, socket_id=self.client.socket_id)
        self.here.trigger("news", "hi", {"n": 3})
        self.assertEqual([one["data"] for one in self.client.events[1:]], ['{"n": 3}'])
        self.assertEqual(len(other.events), 5)

    def test_left_out_among_many(self) -> None:
        """Also where the others are written to by their sockets alone."""
        others = [self.here.connect() for _ in range(20)]
        for client in (self.client, *others):
            client.subscribe("news")
        self.here.trigger("news", "hi", {}, socket_id=self.client.socket_id)
        self.assertEqual(len(self.client.events), 1)
        self.assertEqual({len(one.events) for one in others}, {2})

    def test_batch(self) -> None:
        self.client.subscribe("a")
        one = {"channel": "a", "name": "hi", "data": "1"}
        answer = self.here.api("POST", f"/apps/{ID}/batch_events", {"batch": [one, one]})
        self.assertEqual(answer.json, {})
        self.assertEqual(len(self.client.events), 3)
        asked = {"batch": [{**one, "info": "subscription_count"}]}
        answer = self.here.api("POST", f"/apps/{ID}/batch_events", asked)
        self.assertEqual(answer.json, {"batch": [{"subscription_count": 1}]})
        answer = self.here.api("POST", f"/apps/{ID}/batch_events", {"batch": [one] * 11})
        self.said(answer, 400, "10 events")

    def test_bad(self) -> None:
        good = {"name": "hi", "channels": ["a"], "data": "1"}
        wrong = [
            ({**good, "channels": [f"c{n}" for n in range(101)]}, 400, "100 channels"),
            ({**good, "channels": []}, 400, "100 channels"),
            ({**good, "channels": ["a b"]}, 400, "name"),
            ({**good, "data": "x" * 10_241}, 413, "10240"),
            ({"name": "hi", "channels": ["a"]}, 400, "data"),
            ({**good, "name": "pusher:x"}, 400, "server"),
            ({**good, "name": "x" * 129}, 400, "128"),
            ({**good, "name": 7}, 400, "name"),
            ({**good, "socket_id": 7}, 400, "socket_id"),
            ({**good, "info": "user_count"}, 400, "presence"),
            ([], 400, "object"),
        ]
        for body, status, word in wrong:
            self.said(self.here.api("POST", EVENTS, body), status, word)
        self.said(self.here.api("POST", EVENTS, {**good, "data": "x" * 10_240}), 200)

    def test_signature(self) -> None:
        good = {"name": "hi", "channels": ["a"], "data": "1"}
        old = str(int(self.here.world.clock.seconds()) - 601)
        for wrong in (
            {"auth_signature": "0" * 64},
            {"auth_timestamp": old},
            {"body_md5": "0" * 32},
            {"auth_version": "2.0"},
            {"auth_key": "other"},
        ):
            answer = self.here.api("POST", EVENTS, good, None, **wrong)
            self.said(answer, 401, next(iter(wrong)))
        self.said(self.here.api("POST", "/apps/8/events", good), 404, "no app")
        self.said(self.here.api("GET", EVENTS), 405)
        self.said(self.here.api("GET", f"/apps/{ID}/nothing"), 404)

    def test_disabled(self) -> None:
        here = Here.of(enabled=False)
        self.said(here.trigger("news", "hi", {}), 403)

    def test_schema(self) -> None:
        """A channel's own schema holds, and then nothing of the request is stored."""
        rooms = define_channel(
            "rooms",
            params={"type": "object", "properties": {"n": {"type": "integer"}}},
            messages={"msg": {"type": "object", "required": ["text"]}},
        )
        here = Here.of(rooms, rules=(PusherMapKeys(pattern="room-{n}", channel="rooms"),))
        self.said(here.trigger("room-1", "msg", {"text": "a"}), 200)
        body = {"name": "msg", "channels": ["news", "room-1"], "data": "{}"}
        self.said(here.api("POST", EVENTS, body), 400, "text")
        self.said(here.trigger("room-x", "msg", {"text": "a"}), 400, "n")
        news = here.world.get("/channels/pusher/history?app=main&name=news").json
        self.assertEqual(news["messages"], [])


class ChannelTests(SynchronousTestCase):
    """What is asked about channels."""

    def test_channels(self) -> None:
        here = Here.of()
        client = here.connect()
        client.subscribe("news")
        client.subscribe("presence-x", {"user_id": "ann"})
        channels = f"/apps/{ID}/channels"
        self.assertEqual(
            here.api("GET", channels).json, {"channels": {"news": {}, "presence-x": {}}}
        )
        query = {"filter_by_prefix": "presence-", "info": "user_count,subscription_count"}
        counts = {"presence-x": {"user_count": 1, "subscription_count": 1}}
        self.assertEqual(here.api("GET", channels, None, query).json, {"channels": counts})
        self.assertEqual(here.api("GET", channels, None, {"info": "user_count"}).status, 400)
        one = here.api("GET", f"{channels}/news", None, {"info": "subscription_count"}).json
        self.assertEqual(one, {"occupied": True, "subscription_count": 1})
        self.assertEqual(here.api("GET", f"{channels}/other").json, {"occupied": False})
        self.assertEqual(here.api("GET", f"{channels}/news/users").status, 400)
        self.assertEqual(here.api("GET", f"/apps/{ID}/connections").json, {"connections": 1})

    def test_cache(self) -> None:
        here = Here.of()
        here.trigger("cache-x", "hi", {"a": 1})
        one = here.api("GET", f"/apps/{ID}/channels/cache-x", None, {"info": "cache"}).json
        cached = {"data": '{"a": 1}', "event": "hi"}
        self.assertEqual(one, {"occupied": False, "cache": cached})
