"""A channel of Pusher's is a topic: events both ways, rules, and its names."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist import Grant, Presence, VerifyRequest, define_channel
from takotwist.server.config.pusher import PusherMapKeys
from tests.facades.pusher.here import SUCCEEDED, Here, frame_data


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
