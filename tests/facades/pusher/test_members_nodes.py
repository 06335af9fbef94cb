"""Members of a channel with presence, shown to Pusher's clients, on several nodes."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist import Grant, Presence, VerifyRequest, define_channel
from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.adapters.memory.node import MemoryNode, MemoryStore
from takotwist.server.config.pusher import PusherMapKeys
from takotwist.testing.world import BEGINNING, WorldClock
from tests.facades.pusher.here import Here, frame_data

RULE = PusherMapKeys(pattern="presence-room-{id}", channel="room", trust_signature=True)


class MembersTests(SynchronousTestCase):
    """A user has tabs of another client on two nodes."""

    def setUp(self) -> None:
        self.clock = WorldClock()
        self.clock.rightNow = BEGINNING
        inner = InMemoryReplayLog(self.clock)
        inner.start()
        self.store = MemoryStore(inner)
        self.one, self.two = self.node("a"), self.node("b")

    def node(self, name: str) -> Here:
        params = {"type": "object", "properties": {"id": {"type": "string"}}}
        room = define_channel("room", params=params, presence=Presence(grace=1))

        @room.verify(header="authorization")
        async def verify(request: VerifyRequest[Any]) -> Grant:
            subject, _, info = request.header.value.partition(":")
            return Grant(subject=subject, info=info)

        log = MemoryNode(self.store, name)
        world = {"log": log, "clock": self.clock, "node": name}
        return Here.of(room, rules=(RULE,), world=world)

    def tab(self, here: Here, token: str) -> Any:
        peer = here.world.subscribe("/channels/room?id=1", {"Authorization": token})
        here.world.advance(1)
        return peer

    def shown(self) -> list[object]:
        """To who subscribes now, at each node."""
        shown = []
        for here in (self.one, self.two):
            client = here.connect()
            client.subscribe("presence-room-1", {"user_id": "x"})
            shown.append(frame_data(client.events[0])["presence"]["hash"].get("ann"))
            client.socket.close()
        return shown

    def test_newest(self) -> None:
        """What a member shows is what the app has said last of it, on whatever node."""
        watching = [here.connect() for here in (self.one, self.two)]
        for number, client in enumerate(watching):
            client.subscribe("presence-room-1", {"user_id": f"w{number}"})
        first = self.tab(self.one, "ann:1")
        second = self.tab(self.two, "ann:2")
        self.assertEqual(self.shown(), ["2", "2"])
        self.tab(self.one, "ann:3")
        self.assertEqual(self.shown(), ["3", "3"])
        for tab in (first, second):
            tab.leave()
        self.one.world.advance(3)
        self.assertEqual(self.shown(), ["3", "3"])
