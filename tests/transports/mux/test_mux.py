"""A connection that holds many topics."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Channel, Grant, Presence, define_channel
from takotwist.testing.world import BEGINNING, World

PARAMS = {"type": "object", "properties": {"roomId": {"type": "string"}}}


def chat() -> Channel[Any]:
    """Public rooms with a handler."""
    channel = define_channel("chat", params=PARAMS)
    channel.on("msg")(lambda data, context: data)
    return channel


class MuxTests(SynchronousTestCase):
    """One connection, `tako.v1`."""

    def setUp(self) -> None:
        self.slow: Deferred[Grant] = Deferred()
        club = define_channel("club")

        async def verify(request: Any) -> Grant:
            return await self.slow

        club.verify(verify)
        club.on("msg")(lambda data, context: data)
        self.world = World(chat(), club)
        self.socket = self.world.connect("/_tako/connect", subprotocol="tako.v1")

    def subscribe(self, room: str, **more: Any) -> Any:
        frame = {"op": "subscribe", "ref": room, "channel": "chat", "params": {"roomId": room}}
        self.socket.say({**frame, **more})
        return self.socket.ops[-1]

    def test_open(self) -> None:
        """It begins with no topic, and says so."""
        (opened,) = self.socket.ops
        self.assertEqual(opened["op"], "open")
        self.assertNotIn("cursor", opened)

    def test_topics(self) -> None:
        """Each message names its topic's params, behind the answer that began the topic."""
        for room in "ab":
            self.assertEqual(self.subscribe(room)["op"], "ack")
        message = self.world.publish("/channels/chat?roomId=b", "msg", 1)
        self.world.publish("/channels/chat?roomId=c", "msg", 2)
        self.assertEqual(self.socket.messages, [{**message, "params": {"roomId": "b"}}])

    def test_replay(self) -> None:
        """Each topic has its own cursor."""
        old = {
            room: self.world.publish(f"/channels/chat?roomId={room}", "m", room) for room in "ab"
        }
        self.subscribe("a", cursor="0")
        self.subscribe("b", cursor=old["b"]["id"])
        self.assertEqual([message["data"] for message in self.socket.messages], ["a"])

    def test_foreign_cursor(self) -> None:
        """A cursor that was never given out is refused, or a reset where that was asked for."""
        for room, cursor in (("a", "abc"), ("b", 2**53 - 1)):
            self.assertEqual(self.subscribe(room, cursor=cursor)["code"], "cursor-invalid")
            reset = self.subscribe(room, cursor=cursor, stale="reset")
            self.assertEqual((reset["op"], reset["reason"]), ("reset", "cursor-invalid"))
            self.assertEqual(self.socket.ops[-2]["cursor"], reset["cursor"])
        self.world.publish("/channels/chat?roomId=b", "msg", 1)
        self.assertEqual(len(self.socket.messages), 1)

    def test_twice(self) -> None:
        """A topic that is followed already is an error, and goes on."""
        self.subscribe("a")
        self.assertEqual(self.subscribe("a")["op"], "error")
        self.world.publish("/channels/chat?roomId=a", "msg", 1)
        self.assertEqual(len(self.socket.messages), 1)

    def test_no_json(self) -> None:
        """Half of a surrogate pair is answered with the frame's own `ref`; nothing else ends."""
        self.subscribe("a")
        cut = "Great \ud83d"
        topic = {"channel": "chat", "params": {"roomId": "a"}}
        for ref, frame in enumerate(
            [
                {"op": "publish", **topic, "type": "msg", "data": {"text": cut}},
                {"op": "publish", **topic, "type": cut, "data": 1},
                {"op": "subscribe", "channel": "chat", "params": {"roomId": cut}},
                {"op": "subscribe", "channel": cut},
            ]
        ):
            self.socket.say(json.dumps({**frame, "ref": ref}))
            answer = self.socket.ops[-1]
            self.assertEqual(
                (answer["op"], answer["ref"], answer["code"]), ("error", ref, "body-invalid")
            )
        self.world.publish("/channels/chat?roomId=a", "msg", 1)
        self.assertEqual(len(self.socket.messages), 1)

    def test_one_waits(self) -> None:
        """While the app thinks about one topic, the others go on."""
        self.socket.say({"op": "subscribe", "ref": "club", "channel": "club", "auth": "Bearer x"})
        self.assertEqual(self.subscribe("a")["ref"], "a")
        self.slow.callback(Grant(subject="ann"))
        answer = self.socket.ops[-1]
        self.assertEqual((answer["ref"], answer["subject"]), ("club", "ann"))

    def test_left_while_one_waits(self) -> None:
        """A client that leaves meanwhile leaves nothing behind."""
        self.socket.say({"op": "subscribe", "channel": "club", "auth": "Bearer x"})
        self.socket.leave()
        self.assertEqual(len(self.world.parts.sessions), 0)
        self.assertEqual(self.world.parts.fanout.keys(), frozenset())

    def test_publish(self) -> None:
        """A publish needs no subscription, and is answered when it is stored."""
        frame = {"op": "publish", "ref": 7, "channel": "chat", "params": {"roomId": "a"}}
        self.socket.say({**frame, "type": "msg", "data": "hi"})
        answer = self.socket.ops[-1]
        history = self.world.get("/channels/chat/history?roomId=a").json["messages"]
        self.assertEqual((answer["op"], answer["ref"]), ("ack", 7))
        self.assertEqual([message["id"] for message in history], [answer["id"]])

    def test_unsubscribe(self) -> None:
        """After it no message of the topic comes."""
        self.subscribe("a")
        self.subscribe("a", op="unsubscribe")
        self.world.publish("/channels/chat?roomId=a", "msg", 1)
        self.assertEqual(self.socket.messages, [])
        self.assertEqual(self.subscribe("a", op="unsubscribe")["code"], "not-found")

    def test_refreshed_too_late(self) -> None:
        """Credentials for a topic whose grant ended while the app was asked: nobody is there."""
        grants = [Grant(subject="ann", expires_at=BEGINNING + 10), self.slow]
        crew = define_channel("crew", presence=Presence(grace=1), forward_unhandled=True)

        async def verify(request: Any) -> Grant:
            one = grants.pop(0)
            return await one if isinstance(one, Deferred) else one

        crew.verify(header="authorization")(verify)
        world = World(crew)
        socket = world.connect("/_tako/connect", subprotocol="tako.v1")
        socket.say({"op": "subscribe", "ref": 1, "channel": "crew", "auth": "a"})
        world.advance(9)
        self.assertEqual(len(world.parts.presence), 1)
        socket.say({"op": "auth", "ref": 2, "channel": "crew", "auth": "b"})
        world.advance(3)
        self.slow.callback(Grant(subject="ann"))
        answers = [(op["ref"], op["code"]) for op in socket.ops if op["op"] == "error"]
        self.assertEqual(answers, [(1, "credentials-expired"), (2, "not-found")])
        world.advance(5)
        self.assertEqual(len(world.parts.presence), 0)

    def test_left_with_frames_behind(self) -> None:
        """What waited for its turn on a topic is not begun when the client leaves."""
        channel = define_channel("chat", params=PARAMS)

        async def handle(data: Any, context: Any) -> None:
            await Deferred()

        channel.on("msg")(handle)
        world = World(channel)
        socket = world.connect("/_tako/connect", subprotocol="tako.v1")
        for room in "abcdefgh":
            about = {"channel": "chat", "params": {"roomId": room}}
            for op in ("subscribe", "publish", "unsubscribe", "subscribe"):
                socket.say({"op": op, "type": "msg", "data": 1, **about})
        self.assertEqual(len(world.parts.fanout.keys()), 0)
        socket.leave()
        self.assertEqual(world.parts.fanout.keys(), frozenset())
        self.assertEqual(world.parts.metrics.subscriptions, 0)
        self.assertEqual(world.parts.sessions.services.names.count, 0)

    def test_ping(self) -> None:
        """A page that cannot send pings of the protocol asks by a frame."""
        self.socket.say({"op": "ping", "ref": 3})
        self.assertEqual(self.socket.ops[-1], {"op": "pong", "ref": 3})
