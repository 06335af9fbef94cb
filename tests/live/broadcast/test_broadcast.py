"""Broadcasts on the server and with pages: checks C17 to C21."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from takotwist.live import (
    Broadcast,
    BroadcastChannel,
    ChannelOverflowError,
    Receipt,
    UsageError,
    function,
)
from takotwist.live.broadcast.bus import MAX_IDLE_KEYS, Bus
from takotwist.server.config import Config
from takotwist.server.config.limits import Live
from takotwist.testing.world import BEGINNING, World
from tests.live.page import ClientEnd, Page


class Said(Struct):
    text: str


class BroadcastTests(SynchronousTestCase):
    """Members of one key."""

    def setUp(self) -> None:
        self.members: list[BroadcastChannel[Said]] = []
        self.closed: list[Any] = []

        @function
        async def on_join() -> BroadcastChannel[Said]:
            member = BroadcastChannel[Said](key="room")
            member.on_close(self.closed.append)
            self.members.append(member)
            return member

        self.world = World(config=Config(live=Live(buffer_limit=1_000_000)), functions=[on_join])
        self.pages = [Page(self.world, letter * 22) for letter in "ab"]
        for page in self.pages:
            page.connect()

    def join(self) -> list[ClientEnd]:
        """A member on each page, listening."""
        ends = []
        for page in self.pages:
            end = page.get("onJoin")
            end.subscribe("text")
            end.subscribe("binary")
            ends.append(end)
        self.pump()
        return ends

    def pump(self) -> None:
        for page in self.pages:
            page.pump()

    def test_c17_same_for_all(self) -> None:
        """C17: every member, the publisher too, sees the same seq 1 to n, of text and bytes."""
        seen: list[tuple[Any, Receipt]] = []
        Broadcast.subscribe("room", lambda data, info: seen.append((data, info)))
        Broadcast.subscribe_binary("room", lambda data, info: seen.append((data, info)))
        ends = self.join()
        first = ends[0].publish({"text": "hi"})
        self.pump()
        second = Broadcast.publish("room", {"text": "server"}).result()
        third = ends[1].publish(b"\x00")
        self.pump()
        self.assertEqual([info.seq for _, info in seen], [1, 2, 3])
        for end in ends:
            self.assertEqual(end.heard, [{"text": "hi"}, {"text": "server"}, b"\x00"])
            self.assertEqual([info.seq for info in end.infos], [1, 2, 3])
        self.assertEqual((second.key, second.seq), ("room", 2))
        self.assertEqual(second.timestamp, int(BEGINNING * 1000))
        self.assertEqual((first.answer["seq"], third.answer["seq"]), (1, 3))
        # The key is a capability: no page ever sees it.
        for page in self.pages:
            assert page.socket is not None
            self.assertNotIn(b"room", page.socket.received)

    def test_c18_late_and_gone(self) -> None:
        """C18: nothing old for who comes late, nothing new for who has left."""
        heard: list[Any] = []
        ends = self.join()
        self.members[0].subscribe(lambda data, info: heard.append(data))
        Broadcast.publish("room", {"text": "1"})
        late = self.pages[0].get("onJoin")
        late.subscribe()
        self.pump()
        Broadcast.publish("room", {"text": "2"})
        ends[0].unsubscribe()
        self.pump()
        leave = Broadcast.subscribe("room", lambda data, info: heard.append("never"))
        leave()
        leave()
        Broadcast.publish("room", {"text": "3"})
        self.pump()
        self.assertEqual([one["text"] for one in late.heard], ["2", "3"])
        self.assertEqual([one["text"] for one in ends[0].heard], ["1", "2"])
        self.assertEqual([one["text"] for one in heard], ["1", "2", "3"])

    def test_c19_failing_subscriber(self) -> None:
        """C19: a subscriber that raises disturbs neither the others nor the publisher."""
        heard: list[Any] = []

        def fail(data: Any, info: Receipt) -> None:
            raise ValueError

        async def fail_later(data: Any, info: Receipt) -> None:
            raise ValueError

        Broadcast.subscribe("k", fail)
        Broadcast.subscribe("k", fail_later)
        Broadcast.subscribe("k", lambda data, info: heard.append(data))
        with capturedLogs() as events:
            receipt = Broadcast.publish("k", 1).result()
        self.assertEqual((heard, receipt.seq, len(events)), ([1], 1, 2))

    def test_order_when_a_subscriber_publishes(self) -> None:
        """A publication made while one is delivered comes behind it, for everybody."""
        orders: list[list[int]] = [[], []]

        def reply(data: int, info: Receipt) -> None:
            orders[0].append(info.seq)
            if data == 1:
                Broadcast.publish("k2", 2)

        Broadcast.subscribe("k2", reply)
        Broadcast.subscribe("k2", lambda data, info: orders[1].append(info.seq))
        Broadcast.publish("k2", 1)
        self.assertEqual(orders, [[1, 2], [1, 2]])

    def test_c20_close_detaches_one(self) -> None:
        """C20: close takes one member out; `on_close` may publish; send and listen are mistakes."""
        ends = self.join()
        member = self.members[0]
        member.on_close(lambda: member.publish(Said("left")))
        ends[0].close()
        self.pump()
        Broadcast.publish("room", {"text": "after"})
        self.pump()
        self.assertEqual((ends[0].ended, ends[0].heard), ([None], []))
        self.assertEqual([one["text"] for one in ends[1].heard], ["left", "after"])
        self.assertEqual(ends[1].ended, [])
        for wrong in (member.send, member.listen, member.send_binary, member.listen_binary):
            self.assertRaises(UsageError, wrong, "x")
        self.assertRaises(UsageError, BroadcastChannel, key="")
        BroadcastChannel(key="k" * 1024)
        self.assertRaises(UsageError, BroadcastChannel, key="k" * 1025)
        self.assertEqual(ends[0].publish({"text": "x"}).code, "closed")

    def test_c21_slow_member(self) -> None:
        """C21: a member too far behind is cut off; the others hear everything."""
        slow, quick = self.join()
        slow.reads = False
        for n in range(3000):
            Broadcast.publish("room", {"text": f"{n} " + "x" * 1000})
            if n % 100 == 99:
                self.pump()
        self.pump()
        self.assertEqual(len(quick.heard), 3000)
        self.assertEqual(quick.ended, [])
        self.assertEqual([trouble and trouble.code for trouble in slow.ended], ["overflow"])
        [error] = self.closed
        self.assertIsInstance(error, ChannelOverflowError)

    def test_c24_validation(self) -> None:
        """C24: what a page publishes is checked before anybody sees it."""
        ends = self.join()
        refused = ends[0].publish({"text": 7})
        self.pump()
        self.assertEqual((refused.code, ends[1].heard), ("validation", []))

    def test_nothing_left(self) -> None:
        """Members that have gone leave no subscription."""
        for _ in range(50):
            self.join()
        for page in self.pages:
            page.cut()
        self.world.advance(130)
        self.assertEqual(len(self.world.live.services.broadcasts.bus), 0)
        self.assertEqual(len(self.world.live.sessions), 0)
        self.assertEqual(len(self.world.parts.deadlines), 0)


class BusTests(SynchronousTestCase):
    """The bus alone."""

    def test_keys_are_bounded(self) -> None:
        """Counters of keys that nobody uses are forgotten; a new count has another epoch."""
        bus = Bus(lambda: 1.0)
        first = bus.publish("old", b"1", False)
        for n in range(MAX_IDLE_KEYS):
            bus.publish(f"k{n}", b"1", False)
        again = bus.publish("old", b"1", False)
        self.assertEqual((first.seq, again.seq), (1, 1))
        self.assertGreater(again.epoch, first.epoch)

    def test_keys_in_use_are_kept(self) -> None:
        """While somebody subscribes, the count goes on."""
        bus = Bus(lambda: 1.0)
        bus.subscribe("used", False, lambda publication: None)
        bus.publish("used", b"1", False)
        for n in range(MAX_IDLE_KEYS + 1):
            bus.publish(f"k{n}", b"1", False)
        self.assertEqual(bus.publish("used", b"1", True).seq, 2)
