"""Clients of Pusher's on a server in memory: connecting, channels, users, events."""

from __future__ import annotations

import itertools
import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist import Grant, Presence, VerifyRequest, define_channel
from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.server.config import Config, Limits
from takotwist.server.config.pusher import PusherMapKeys
from takotwist.testing.manual_log import ManualLog
from takotwist.testing.world import BEGINNING, World, WorldClock
from tests.facades.pusher.here import KEY, Client, Here, frame_data, signed

SUCCEEDED = "pusher_internal:subscription_succeeded"


def chat_channel() -> Any:
    """A channel of the app's, which asks who comes and handles what clients say."""
    params = {"type": "object", "properties": {"roomId": {"type": "string"}}}
    chat = define_channel("chat", params=params)

    @chat.verify(header="authorization")
    async def verify(request: VerifyRequest[Any]) -> Grant:
        return Grant(subject="ann")

    @chat.on("client-said")
    def said(data: Any, context: Any) -> Any:
        return {"text": data["text"], "by": context.subject}

    return chat


CHAT = PusherMapKeys(pattern="private-chat-{roomId}", channel="chat", trust_signature=True)


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

    def test_count(self) -> None:
        here = Here.of(subscription_count=True)
        first, second = here.connect(), here.connect()
        first.subscribe("news")
        here.world.advance(1)
        second.subscribe("news")
        here.world.advance(1)
        second.say("pusher:unsubscribe", {"channel": "news"})
        here.world.advance(1)
        counts = [frame_data(one) for one in first.events[1:]]
        self.assertEqual(counts, [{"subscription_count": n} for n in (1, 2, 1)])


class PresenceTests(SynchronousTestCase):
    """Members are users, whatever number of connections each has."""

    def test_members(self) -> None:
        here = Here.of()
        ann, tab, bob = here.connect(), here.connect(), here.connect()
        ann.subscribe("presence-x", {"user_id": "ann", "user_info": {"name": "Ann"}})
        tab.subscribe("presence-x", {"user_id": "ann"})
        bob.subscribe("presence-x", {"user_id": 7})
        told = frame_data(bob.events[0])["presence"]
        self.assertEqual(
            told, {"ids": ["ann", "7"], "hash": {"ann": {"name": "Ann"}, "7": None}, "count": 2}
        )
        [added] = ann.events[1:]
        self.assertEqual(added["event"], "pusher_internal:member_added")
        self.assertEqual(frame_data(added), {"user_id": "7", "user_info": None})
        users = here.api("GET", "/apps/7/channels/presence-x/users").json
        self.assertEqual(users, {"users": [{"id": "ann"}, {"id": "7"}]})
        ann.socket.close()
        self.assertEqual(len(bob.events), 1)
        tab.socket.leave()
        [removed] = bob.events[1:]
        self.assertEqual(removed["event"], "pusher_internal:member_removed")
        self.assertEqual(frame_data(removed), {"user_id": "ann"})

    def test_by_user(self) -> None:
        """Who has signed in needs no channel_data."""
        client = Here.of().connect()
        client.sign_in({"id": "ann", "user_info": {"name": "Ann"}})
        client.subscribe("presence-x")
        self.assertEqual(
            frame_data(client.events[-1])["presence"]["hash"], {"ann": {"name": "Ann"}}
        )

    def test_refused(self) -> None:
        here = Here.of(pusher={"max_members": 1, "max_user_info_bytes": 64})
        client = here.connect()
        for data in (
            None,
            {"user_id": ""},
            {"user_info": {}},
            [],
            {"user_id": "x" * 129},
            {"user_id": "a", "user_info": "x" * 100},
        ):
            client.subscribe("presence-x", data)
            self.assertEqual(client.events[-1]["event"], "pusher:subscription_error", data)
        client.subscribe("presence-x", {"user_id": "ann"})
        other, tab = here.connect(), here.connect()
        other.subscribe("presence-x", {"user_id": "bob"})
        self.assertEqual(frame_data(other.events[-1])["type"], "LimitReached")
        tab.subscribe("presence-x", {"user_id": "ann"})
        self.assertEqual(tab.events[-1]["event"], SUCCEEDED)


class UserTests(SynchronousTestCase):
    """Who has signed in."""

    def test_own_channel(self) -> None:
        here = Here.of()
        ann, bob = here.connect(), here.connect()
        ann.say("pusher:subscribe", {"channel": "#server-to-user-ann"})
        self.assertEqual(ann.events[-1]["event"], "pusher:subscription_error")
        ann.sign_in({"id": "ann"})
        signed_in = ann.events[-1]
        self.assertEqual(signed_in["event"], "pusher:signin_success")
        self.assertEqual(frame_data(signed_in), {"user_data": '{"id": "ann"}'})
        ann.say("pusher:subscribe", {"channel": "#server-to-user-ann"})
        bob.sign_in({"id": "bob"})
        bob.say("pusher:subscribe", {"channel": "#server-to-user-ann"})
        here.trigger("#server-to-user-ann", "hi", "you")
        self.assertEqual(ann.events[-1]["data"], "you")
        self.assertEqual(bob.events[-1]["event"], "pusher:subscription_error")

    def test_forged(self) -> None:
        client = Here.of().connect()
        client.say("pusher:signin", {"auth": f"{KEY}:{'0' * 64}", "user_data": '{"id":"ann"}'})
        assert client.socket.close_reason is not None
        self.assertEqual(client.socket.close_reason[0], 4009)

    def test_terminate(self) -> None:
        here = Here.of()
        ann, bob = here.connect(), here.connect()
        ann.sign_in({"id": "ann"})
        bob.sign_in({"id": "bob"})
        for path in ("/apps/7/users/ann/terminate_connections", "/users/x/terminate_connections"):
            answer = here.api("POST", path, {})
            self.assertEqual((answer.status, answer.json), (200, {}))
        assert ann.socket.close_reason is not None
        self.assertEqual(ann.socket.close_reason[0], 4009)
        self.assertIs(bob.socket.close_reason, None)


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


class TopicTests(SynchronousTestCase):
    """A channel of Pusher's is a topic."""

    def test_both_ways(self) -> None:
        here = Here.of()
        client = here.connect()
        client.subscribe("news")
        target = "/channels/pusher?app=main&name=news"
        reader = here.world.subscribe(target)
        here.trigger("news", "hi", {"a": 1})
        here.world.publish(target, "there", {"b": 2})
        self.assertEqual([one["data"] for one in reader.messages], [{"a": 1}, {"b": 2}])
        said = [(one["event"], one["data"]) for one in client.events[1:]]
        self.assertEqual(said, [("hi", '{"a": 1}'), ("there", '{"b":2}')])
        cursor = reader.messages[0]["id"]
        again = here.world.subscribe(target, {"Last-Event-ID": cursor})
        self.assertEqual([one["type"] for one in again.messages], ["there"])

    def test_private_names(self) -> None:
        here = Here.of()
        for name in ("private-x", "presence-x", "%23server-to-user-7", "a%20b"):
            answer = here.world.get(f"/channels/pusher?app=main&name={name}")
            self.assertEqual(answer.status, 403, name)

    def test_rule(self) -> None:
        """A rule leads to a channel of the app's, whose clients and Pusher's meet there."""
        here = Here.of(chat_channel(), rules=(CHAT,))
        client = here.connect()
        client.subscribe("private-chat-lobby")
        reader = here.world.subscribe("/channels/chat?roomId=lobby", {"Authorization": "x"})
        here.trigger("private-chat-lobby", "msg", {"a": 1})
        here.world.publish("/channels/chat?roomId=lobby", "msg", {"b": 2})
        self.assertEqual([one["data"] for one in reader.messages], [{"a": 1}, {"b": 2}])
        self.assertEqual([one["data"] for one in client.events[1:]], ['{"a": 1}', '{"b":2}'])
        self.assertEqual({one["channel"] for one in client.events}, {"private-chat-lobby"})

    def test_presence_of_channel(self) -> None:
        """Members who come by Pusher's protocol are members of a channel with presence."""
        room = define_channel(
            "room",
            params={"type": "object", "properties": {"id": {"type": "string"}}},
            presence=Presence(grace=1),
        )

        @room.verify(header="authorization")
        async def verify(request: VerifyRequest[Any]) -> Grant:
            return Grant(subject=request.header.value)

        rule = PusherMapKeys(pattern="presence-room-{id}", channel="room", trust_signature=True)
        here = Here.of(room, rules=(rule,))
        client = here.connect()
        client.subscribe("presence-room-1", {"user_id": "ann", "user_info": {"n": 1}})
        here.world.advance(1)
        listed = here.world.get("/channels/room/presence?id=1", {"Authorization": "bob"}).json
        members = [(one["subject"], one["info"]) for one in listed["members"]]
        self.assertEqual(members, [("ann", {"n": 1})])
        # And the other way round: who comes by another client is shown to Pusher's.
        reader = here.world.subscribe("/channels/room?id=1", {"Authorization": "bob"})
        here.world.advance(1)
        [added] = client.events[1:]
        self.assertEqual(added["event"], "pusher_internal:member_added")
        self.assertEqual(frame_data(added), {"user_id": "bob", "user_info": None})
        late = here.connect()
        late.subscribe("presence-room-1", {"user_id": "cy"})
        here.world.advance(1)
        later = {frame_data(one)["user_id"] for one in late.events[1:]}
        told = frame_data(late.events[0])["presence"]["ids"]
        self.assertEqual({*told, *later}, {"ann", "bob", "cy"})
        reader.leave()
        here.world.advance(3)
        removed = client.events[-1]
        self.assertEqual(removed["event"], "pusher_internal:member_removed")
        self.assertEqual(frame_data(removed), {"user_id": "bob"})

    def test_trust(self) -> None:
        rule = PusherMapKeys(pattern="private-chat-{roomId}", channel="chat")
        here = Here.of(chat_channel(), rules=(rule,))
        client = here.connect()
        client.subscribe("private-chat-lobby")
        error = client.events[-1]
        self.assertEqual(error["event"], "pusher:subscription_error")
        self.assertIn("trust_signature", frame_data(error)["error"])

    def test_handler(self) -> None:
        """Client events that are stored go through the channel's handler."""
        rule = PusherMapKeys(
            pattern="private-chat-{roomId}",
            channel="chat",
            trust_signature=True,
            store_client_events=True,
        )
        here = Here.of(chat_channel(), rules=(rule,))
        ann, bob = here.connect(), here.connect()
        ann.sign_in({"id": "ann"})
        for client in (ann, bob):
            client.subscribe("private-chat-lobby")
        reader = here.world.subscribe("/channels/chat?roomId=lobby", {"Authorization": "x"})
        ann.say("client-said", {"text": "hi"}, channel="private-chat-lobby")
        here.world.advance(0)
        self.assertEqual(reader.messages[-1]["data"], {"text": "hi", "by": "ann"})
        self.assertEqual(json.loads(bob.events[-1]["data"]), {"text": "hi", "by": "ann"})

    def test_spelling(self) -> None:
        """A name that is another spelling of a topic is refused, and says the usual one."""
        rooms = define_channel(
            "rooms", params={"type": "object", "properties": {"n": {"type": "integer"}}}
        )
        here = Here.of(rooms, rules=(PusherMapKeys(pattern="room-{n}", channel="rooms"),))
        client = here.connect()
        client.subscribe("room-7")
        client.subscribe("room-007")
        self.assertEqual(client.events[0]["event"], SUCCEEDED)
        self.assertIn("room-7", frame_data(client.events[1])["error"])
