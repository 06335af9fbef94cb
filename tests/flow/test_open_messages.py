"""Which messages are open: found at the start, looked after in time, let go of when closed."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.core.topic import Topic
from takotwist.errors import StoreUnavailable
from takotwist.flow.open_messages import OpenMessage, OpenMessages
from takotwist.testing.world import World

ROOM = {"type": "object", "properties": {"roomId": {"type": "string"}}, "required": ["roomId"]}
TOPIC = Topic.of("chat", {"roomId": "lobby"})


class OpenMessagesTests(SynchronousTestCase):
    """Open messages."""

    def setUp(self) -> None:
        self.world = World(define_channel("chat", params=ROOM))
        self.looked: list[str] = []
        self.answers: list[Deferred[int]] = []

    def start(self) -> OpenMessages:
        """Of one more server on the same log."""
        parts = self.world.parts
        found = OpenMessages(parts.publishing, parts.attacher, 100, 10_000_000)

        def look_after(one: OpenMessage) -> Deferred[int]:
            self.looked.append(one.entry.id)
            return self.answers.pop(0) if self.answers else succeed(5_000_000)

        found.start(look_after)
        return found

    def add(self, found: OpenMessages, *names: str) -> None:
        """Have some open."""
        for name in names:
            self.successResultOf(ensureDeferred(found.add(TOPIC, name)))

    def test_looked_after(self) -> None:
        """After the lease, and then when it was said, until they are closed."""
        found = self.start()
        self.add(found, "a")
        self.world.advance(9)
        self.assertEqual(self.looked, [])
        self.world.advance(2)
        self.assertEqual(self.looked, ["a"])
        self.world.advance(5)
        self.assertEqual(self.looked, ["a", "a"])
        [one] = found.in_topic(TOPIC)
        self.successResultOf(ensureDeferred(found.close(one)))
        self.world.advance(60)
        self.assertEqual((self.looked, len(found)), (["a", "a"], 0))

    def test_found_at_the_start(self) -> None:
        """What is open, in whatever order they were opened and closed."""
        first = self.start()
        self.add(first, "a", "b", "c")
        self.successResultOf(ensureDeferred(first.close(first.in_topic(TOPIC)[1])))
        first.stop()
        second = self.start()
        self.assertEqual([one.entry.id for one in second.in_topic(TOPIC)], ["a", "c"])

    def test_log_that_is_away(self) -> None:
        """Is read when it can be."""
        first = self.start()
        self.add(first, "a")
        first.stop()
        log: Any = self.world.parts.log
        read = log.read
        log.read = lambda *_: fail(StoreUnavailable())
        second = self.start()
        self.assertEqual(len(second), 0)
        log.read = read
        self.world.advance(5)
        self.assertEqual(len(second), 1)

    def test_failures(self) -> None:
        """One that cannot be looked after now is looked after again, whatever the reason."""
        found = self.start()
        self.add(found, "a")
        self.answers = [fail(StoreUnavailable()), fail(ZeroDivisionError())]
        self.world.advance(11)
        self.world.advance(3)
        self.world.advance(11)
        self.assertEqual(self.looked, ["a", "a", "a"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_added_twice(self) -> None:
        """Where it cannot be stored again the one that is open is looked after all the same."""
        found = self.start()
        self.add(found, "a")
        log: Any = self.world.parts.log
        append = log.append
        log.append = lambda *_: fail(StoreUnavailable())
        for name in "ab":
            self.failureResultOf(ensureDeferred(found.add(TOPIC, name)), StoreUnavailable)
        log.append = append
        self.world.advance(11)
        self.assertEqual((self.looked, len(found)), (["a"], 1))

    def test_stopped(self) -> None:
        """Nothing is looked after any more."""
        found = self.start()
        self.add(found, "a")
        found.stop()
        self.world.advance(60)
        self.assertEqual(self.looked, [])
