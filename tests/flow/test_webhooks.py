"""Webhooks on a server in memory: what is told, in which order, and how often."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from takotwist import Grant, Presence, VerifyRequest, define_channel
from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.errors import StoreUnavailable, Unreachable
from takotwist.ports import IWebhookSender
from takotwist.server.config import Config
from takotwist.server.config.pusher import Pusher
from takotwist.server.config.webhooks import EndpointKeys, Webhooks
from takotwist.testing.world import World, WorldClock
from tests.facades.pusher.here import APP, Client, Here

SECRET = "whsec_" + b64encode(b"0123456789abcdef01234567").decode()
NATIVE = EndpointKeys(name="app", url="https://app.example/hook", secrets=(SECRET,))


@implementer(IWebhookSender)
@attrs.define
class Receiver:
    """Takes what is posted.

    :ivar answer: decides about each.
    """

    answer: Callable[[Any], int | Exception] = lambda event: 200
    got: list[Any] = attrs.Factory(list)
    ids: list[str] = attrs.Factory(list)
    hangs: bool = False
    retry_after: float = 0.0

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, private: bool
    ) -> Deferred[tuple[int, float]]:
        """See `IWebhookSender`."""
        event = json.loads(body)
        answer = self.answer(event)
        if isinstance(answer, Exception):
            return fail(answer)
        self.got.append(event)
        self.ids.append(headers.get("webhook-id", ""))
        return Deferred() if self.hangs else succeed((answer, self.retry_after))

    @property
    def types(self) -> list[str]:
        """Of all events but those about the server."""
        return [one["type"] for one in self.got]


class FailingLog(InMemoryReplayLog):
    """A log that can be broken."""

    broken = False

    def append(self, entries: Any, now_us: int) -> Any:
        """See `IReplayLog`."""
        if self.broken:
            return fail(StoreUnavailable())
        return InMemoryReplayLog.append(self, entries, now_us)


def world(receiver: Receiver, endpoint: EndpointKeys = NATIVE, **more: Any) -> World:
    """A server with one channel and one endpoint."""
    config = Config(webhooks=Webhooks(endpoints=(endpoint,)))
    return World(define_channel("news"), config=config, webhook_sender=receiver, **more)


class NativeTests(SynchronousTestCase):
    """The whole server."""

    def test_topics(self) -> None:
        """A topic that is occupied, is left for a moment, and is left."""
        receiver = Receiver()
        here = world(receiver)
        reader = here.subscribe("/channels/news")
        here.advance(2)
        self.assertEqual(receiver.got[0]["type"], "topic.occupied")
        self.assertEqual(receiver.got[0]["data"], {"topic": "news", "channel": "news"})
        reader.leave()
        here.advance(1)
        reader = here.subscribe("/channels/news")
        here.advance(10)
        self.assertEqual(receiver.types, ["topic.occupied"])
        reader.leave()
        here.advance(10)
        self.assertEqual(receiver.types, ["topic.occupied", "topic.vacated"])

    def test_restart(self) -> None:
        """After a crash nothing is told again of who is back, and who is not is told of."""
        receiver, clock = Receiver(), WorldClock()
        clock.rightNow = 1_763_700_000.0
        log = InMemoryReplayLog(clock)
        first = world(receiver, log=log, clock=clock)
        first.subscribe("/channels/news")
        first.advance(5)
        first.parts.webhooks.stop()  # type: ignore[union-attr]
        second = world(receiver, log=log, clock=clock)
        second.subscribe("/channels/news")
        second.advance(60)
        self.assertEqual(receiver.types, ["topic.occupied"])
        second.parts.webhooks.stop()  # type: ignore[union-attr]
        third = world(receiver, log=log, clock=clock)
        third.advance(60)
        self.assertEqual(receiver.types, ["topic.occupied", "topic.vacated"])

    def test_at_least_once(self) -> None:
        """What was not taken is tried again with the same id, for hours, by another run too."""
        receiver, clock = Receiver(answer=lambda event: 500), WorldClock()
        clock.rightNow = 1_763_700_000.0
        log = InMemoryReplayLog(clock)
        first = world(receiver, log=log, clock=clock)
        first.subscribe("/channels/news")
        first.advance(3600)
        tries = len(receiver.got)
        self.assertTrue(10 < tries < 40, tries)
        first.parts.webhooks.stop()  # type: ignore[union-attr]
        receiver.answer = lambda event: 200
        second = world(receiver, log=log, clock=clock)
        second.subscribe("/channels/news")
        second.advance(30)
        self.assertEqual(len(set(receiver.ids)), 1)
        self.assertEqual(len(receiver.ids), tries + 1)

    def test_order(self) -> None:
        """One that fails keeps back those behind it, and no other topic's."""
        failing = {"topic.occupied"}
        receiver = Receiver(
            answer=lambda event: Unreachable("away") if event["type"] in failing else 200
        )
        here = world(receiver)
        reader = here.subscribe("/channels/news")
        here.advance(2)
        reader.leave()
        here.advance(10)
        self.assertEqual(receiver.got, [])
        here.request("POST", "/channels/none", body=b"{}")
        here.advance(15)
        self.assertEqual(receiver.types, ["connection.refused"])
        failing.clear()
        here.advance(60)
        self.assertEqual(receiver.types[1:], ["topic.occupied", "topic.vacated"])

    def test_given_up(self) -> None:
        """After the time that it is kept an event is dropped, and counted."""
        receiver = Receiver(answer=lambda event: 503)
        here = world(receiver)
        reader = here.subscribe("/channels/news")
        here.advance(2)
        [courier] = here.parts.webhooks.couriers  # type: ignore[union-attr]
        here.clock.advance(86_400)
        here.advance(600)
        self.assertGreaterEqual(courier.counts["dropped"], 1)
        receiver.answer = lambda event: 200
        reader.leave()
        here.advance(400)
        self.assertEqual(receiver.types[-1], "topic.vacated")
        self.assertEqual(courier.waiting, 0)

    def test_quiet(self) -> None:
        """Of an outbox that was empty for weeks, and so was dropped, nothing is lost."""
        receiver = Receiver()
        here = world(receiver)
        here.subscribe("/channels/news").leave()
        reader = here.subscribe("/channels/news")
        here.advance(5)
        reader.leave()
        here.advance(10)
        for _ in range(16):
            here.clock.advance(86_400)
            here.advance(2)
        here.subscribe("/channels/news")
        here.advance(10)
        self.assertEqual(receiver.types, ["topic.occupied", "topic.vacated", "topic.occupied"])
        [courier] = here.parts.webhooks.couriers  # type: ignore[union-attr]
        self.assertEqual(courier.counts["dropped"], 0)

    def test_gone(self) -> None:
        """An endpoint that says 410 is not asked again."""
        receiver = Receiver(answer=lambda event: 410)
        here = world(receiver)
        here.subscribe("/channels/news")
        here.advance(300)
        self.assertEqual(len(receiver.got), 1)
        self.flushLoggedErrors()

    def test_retry_after(self) -> None:
        receiver = Receiver(answer=lambda event: 429, retry_after=100.0)
        here = world(receiver)
        here.subscribe("/channels/news")
        here.advance(90)
        self.assertEqual(len(receiver.got), 1)
        here.advance(20)
        self.assertEqual(len(receiver.got), 2)

    def test_hangs(self) -> None:
        """One request a lane, however many events there are."""
        receiver = Receiver(hangs=True)
        here = world(receiver, attrs.evolve(NATIVE, events=("topic.occupied", "topic.vacated")))
        for _ in range(5):
            here.subscribe("/channels/news").leave()
            here.subscribe("/channels/news")
        here.advance(60)
        self.assertEqual(len(receiver.got), 1)

    def test_store(self) -> None:
        """That the log failed is told when it works again, and nothing is lost by it."""
        clock, receiver = WorldClock(), Receiver()
        clock.rightNow = 1_763_700_000.0
        log = FailingLog(clock)
        here = world(receiver, log=log, clock=clock)
        here.advance(2)
        log.broken = True
        here.subscribe("/channels/news")
        here.advance(30)
        self.assertEqual(receiver.got, [])
        log.broken = False
        here.advance(10)
        self.assertEqual(sorted(receiver.types), ["store.unavailable", "topic.occupied"])

    def test_store_while_another_waits(self) -> None:
        """What could not be stored is stored soon, however long a lane waits for its endpoint."""
        failing = {"topic.occupied"}
        receiver = Receiver(answer=lambda event: 503 if event["type"] in failing else 200)
        clock = WorldClock()
        clock.rightNow = 1_763_700_000.0
        log = FailingLog(clock)
        here = world(receiver, log=log, clock=clock)
        here.subscribe("/channels/news")
        here.advance(1200)
        tries = len(receiver.got)
        log.broken = True
        here.request("POST", "/channels/none", body=b"{}")
        here.advance(15)
        log.broken = False
        here.advance(30)
        self.assertIn("connection.refused", receiver.types[tries:])

    def test_members(self) -> None:
        """Who joins and leaves a channel with presence."""
        receiver = Receiver()
        room = define_channel("room", presence=Presence(grace=1))

        @room.verify(header="authorization")
        async def verify(request: VerifyRequest[Any]) -> Grant:
            return Grant(subject=request.header.value)

        endpoint = attrs.evolve(NATIVE, events=("member.joined", "member.left"))
        config = Config(webhooks=Webhooks(endpoints=(endpoint,)))
        here = World(room, config=config, webhook_sender=receiver)
        reader = here.subscribe("/channels/room", {"Authorization": "ann"})
        here.advance(3)
        reader.leave()
        here.advance(10)
        told = [(one["type"], one["data"]["member"]["subject"]) for one in receiver.got]
        self.assertEqual(told, [("member.joined", "ann"), ("member.left", "ann")])
        self.assertEqual({one["data"]["topic"] for one in receiver.got}, {"room"})

    def test_chosen(self) -> None:
        receiver = Receiver()
        here = world(receiver, attrs.evolve(NATIVE, events=("topic.vacated",)))
        here.subscribe("/channels/news").leave()
        reader = here.subscribe("/channels/news")
        here.advance(5)
        reader.leave()
        here.advance(10)
        self.assertEqual(receiver.types, ["topic.vacated"])

    def test_one_node_delivers(self) -> None:
        """Two nodes with one store: each event is delivered once, also when one of them ends."""
        from takotwist.adapters.memory.node import MemoryNode, MemoryStore

        clock = WorldClock()
        clock.rightNow = 1_763_700_000.0
        inner = InMemoryReplayLog(clock)
        inner.start()
        store = MemoryStore(inner)
        receivers = [Receiver(), Receiver()]
        nodes = [
            world(receiver, log=MemoryNode(store, name), clock=clock, node=name)
            for receiver, name in zip(receivers, ("a", "b"), strict=True)
        ]
        readers = [node.subscribe("/channels/news") for node in nodes]
        nodes[0].advance(20)
        delivered = receivers[0].got + receivers[1].got
        self.assertEqual([one["data"] for one in delivered], [{"topic": "news", "channel": "news"}])
        self.assertIn([], [one.got for one in receivers])
        holder = 0 if receivers[0].got else 1
        nodes[holder].parts.webhooks.stop()  # type: ignore[union-attr]
        for reader in readers:
            reader.leave()
        nodes[0].advance(40)
        self.assertEqual(receivers[1 - holder].types, ["topic.vacated"])


class PusherTests(SynchronousTestCase):
    """An app of Pusher's."""

    def here(self, receiver: Receiver, **app: Any) -> Here:
        keys = attrs.evolve(APP, webhook_url="https://app.example/pusher", **app)
        return Here(World(config=Config(pusher=Pusher(apps=(keys,))), webhook_sender=receiver))

    def test_events(self) -> None:
        receiver = Receiver()
        here = self.here(receiver)
        ann, bob = here.connect(), here.connect()
        ann.subscribe("presence-x", {"user_id": "ann"})
        bob.subscribe("presence-x", {"user_id": "bob"})
        ann.subscribe("cache-x")
        here.world.advance(2)
        ann.say("client-hi", {"n": 1}, channel="presence-x")
        here.world.advance(2)
        bob.socket.leave()
        here.world.advance(10)
        ann.socket.close()
        here.world.advance(10)
        events = [one["events"][0] for one in receiver.got]
        told = [(one["name"], one.get("channel"), one.get("user_id")) for one in events]
        self.assertEqual(
            sorted(told, key=str),
            sorted(
                [
                    ("cache_miss", "cache-x", None),
                    ("channel_occupied", "presence-x", None),
                    ("channel_occupied", "cache-x", None),
                    ("member_added", "presence-x", "ann"),
                    ("member_added", "presence-x", "bob"),
                    ("client_event", "presence-x", "ann"),
                    ("member_removed", "presence-x", "bob"),
                    ("member_removed", "presence-x", "ann"),
                    ("channel_vacated", "presence-x", None),
                    ("channel_vacated", "cache-x", None),
                ],
                key=str,
            ),
        )
        said = next(one for one in events if one["name"] == "client_event")
        self.assertEqual((said["event"], said["data"]), ("client-hi", '{"n":1}'))
        self.assertEqual(said["socket_id"], Client(ann.socket).socket_id)

    def test_reload_of_a_page(self) -> None:
        """Who is back within three seconds has neither left nor come."""
        receiver = Receiver()
        here = self.here(receiver, webhook_events=("member_added", "member_removed"))
        ann = here.connect()
        ann.subscribe("presence-x", {"user_id": "ann"})
        here.world.advance(2)
        ann.socket.close()
        here.world.advance(1)
        ann = here.connect()
        ann.subscribe("presence-x", {"user_id": "ann"})
        here.world.advance(10)
        self.assertEqual([one["events"][0]["name"] for one in receiver.got], ["member_added"])
