"""What a connection with many topics has under way."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from takotwist.transports.mux.topics import MAX_UNDER_WAY, MuxTurns


class MuxTurnsTests(SynchronousTestCase):
    """Frames, each of which waits until the test lets it go on."""

    def setUp(self) -> None:
        self.held: list[bool] = []
        self.done: list[str] = []
        self.cancelled: list[str] = []
        self.failures: list[Failure] = []
        self.waits: dict[str, Deferred[None]] = {}
        self.turns = MuxTurns(self.held.append)

    async def work(self, name: str) -> None:
        self.waits[name] = Deferred(lambda _: self.cancelled.append(name))
        await self.waits[name]
        self.done.append(name)

    def take(self, topic: str, name: str) -> None:
        self.turns.take(topic, lambda: self.work(name), self.failures.append)

    def test_in_turn(self) -> None:
        """Of one topic the second begins when the first is done; another topic waits for none."""
        self.take("a", "first")
        self.take("a", "second")
        self.take("b", "other")
        self.assertEqual(list(self.waits), ["first", "other"])
        self.waits["other"].callback(None)
        self.waits["first"].callback(None)
        self.assertEqual(list(self.waits), ["first", "other", "second"])
        self.assertEqual([self.turns.busy("a"), self.turns.busy("b")], [True, False])
        self.waits["second"].callback(None)
        self.assertEqual(self.done, ["other", "first", "second"])
        self.assertFalse(self.turns.busy("a"))

    def test_failed(self) -> None:
        """What fails is told, and the next one of its topic has its turn."""
        self.take("a", "first")
        self.take("a", "second")
        self.waits["first"].errback(ValueError("no"))
        self.assertEqual([failure.type for failure in self.failures], [ValueError])
        self.waits["second"].callback(None)
        self.assertEqual(self.done, ["second"])

    def test_held(self) -> None:
        """Nothing more is read while as much is under way as may be."""
        for number in range(MAX_UNDER_WAY):
            self.assertEqual(self.held, [])
            self.take(str(number), str(number))
        self.assertEqual(self.held, [True])
        self.waits["3"].callback(None)
        self.assertEqual(self.held, [True, False])

    def test_held_by_any(self) -> None:
        """Whatever was the last that may be, it is counted when it begins and when it ends."""
        for number in range(MAX_UNDER_WAY - 1):
            self.take(str(number), str(number))
        self.turns.track(self.work("tracked"))
        self.assertEqual(self.held, [True])
        self.take("one more", "one more")
        self.waits["3"].callback(None)
        self.assertEqual(self.held, [True])
        self.waits["tracked"].callback(None)
        self.assertEqual(self.held, [True, False])

    def test_cancelled(self) -> None:
        """A connection that goes takes all of it along, and nobody is told."""
        self.take("a", "first")
        self.take("b", "other")
        self.turns.track(self.work("tracked"))
        self.turns.cancel()
        self.assertEqual((self.done, self.failures), ([], []))
        self.assertEqual(sorted(self.cancelled), ["first", "other", "tracked"])
