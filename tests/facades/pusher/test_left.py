"""Clients and apps of Pusher's that leave in the middle of what they have asked for."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.server.config.pusher import PusherMapKeys
from takotwist.testing.manual_log import ManualLog
from takotwist.testing.world import BEGINNING, WorldClock
from tests.facades.pusher.here import Here

ROOM = {"type": "object", "properties": {"roomId": {"type": "string"}}, "required": ["roomId"]}


class AppLeftTests(SynchronousTestCase):
    """A library that waits no longer for the answer."""

    def test_left_out(self) -> None:
        """The event is stored all the same, and the client that it names is not given it."""
        clock = WorldClock()
        clock.rightNow = BEGINNING
        log = ManualLog(InMemoryReplayLog(clock))
        here = Here.of(world={"log": log, "clock": clock})
        here.world.parts.log.head = 1
        ann, bob = here.connect(), here.connect()
        for client in (ann, bob):
            client.subscribe("news")
        log.settle()
        here.trigger("news", "hi", "1", socket_id=ann.socket_id).leave()
        log.settle()
        self.assertEqual([len(one.events) for one in (ann, bob)], [1, 2])


class MemberLeftTests(SynchronousTestCase):
    """Client events that go through a handler, which takes its time."""

    def setUp(self) -> None:
        self.handling: list[Deferred[None]] = []
        channel = define_channel("chat", params=ROOM)

        async def handle(data: object, context: object) -> object:
            waiting: Deferred[None] = Deferred()
            self.handling.append(waiting)
            await waiting
            return data

        channel.on("client-x")(handle)
        rule = PusherMapKeys(
            pattern="presence-chat-{roomId}",
            channel="chat",
            trust_signature=True,
            store_client_events=True,
        )
        self.here = Here.of(channel, rules=(rule,))
        self.ann, self.bob, self.cy = self.here.connect(), self.here.connect(), self.here.connect()
        for client, name in ((self.ann, "ann"), (self.bob, "bob"), (self.cy, "cy")):
            client.subscribe("presence-chat-lobby", {"user_id": name})

    def test_said_by(self) -> None:
        """What one said who left before it was handled is not taken for what another says."""
        for _ in range(2):
            self.ann.say("client-x", {}, channel="presence-chat-lobby")
        self.bob.say("client-x", {}, channel="presence-chat-lobby")
        self.ann.socket.leave()
        for waiting in self.handling:
            waiting.callback(None)
        said = [one["user_id"] for one in self.cy.events if one["event"] == "client-x"]
        self.assertEqual(said, ["ann", "bob"])
