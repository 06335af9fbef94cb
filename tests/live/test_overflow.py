"""Sends that nobody awaits: all of them arrive, or the object ends and everybody hears of it."""

from __future__ import annotations

from typing import Any

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from takotwist.live import BroadcastChannel, Channel, ChannelOverflowError, Replay, UsageError
from takotwist.live.machine.frames import Trouble
from takotwist.live.machine.send import Backlog
from takotwist.server.config.limits import Live
from tests.live.objects.test_channel import ChannelCase


def said(events: list[Any]) -> list[str]:
    """The lines about overflows."""
    texts = [formatEvent(event) for event in events]
    return [text for text in texts if "has ended" in text]


class UnawaitedTests(ChannelCase):
    """On a page that is there."""

    def assert_all(self, sent: list[Any], got: list[Any]) -> None:
        """Everything has come, and the channel is open."""
        self.assertEqual(len(got), len(sent))
        self.assertEqual(got, sent)
        self.assertEqual(self.closed, [])

    def both_ways(self, messages: list[Any]) -> None:
        """Send all in one turn, from both ends."""
        channel, end = self.get(connect=False)
        self.hear(channel)
        for message in messages:
            channel.send(message)
            end.send(message)
        self.page.pump()
        self.assert_all(messages, end.heard)
        self.assert_all(messages, self.heard)

    def test_many(self) -> None:
        """20,000 small ones, over a WebSocket."""
        self.page.connect()
        self.both_ways(list(range(20_000)))

    def test_large(self) -> None:
        """3,000 of a kilobyte, over an event stream."""
        self.page.connect_sse()
        self.both_ways([f"{n} " + "x" * 1000 for n in range(3000)])

    def test_over_the_bound(self) -> None:
        """More than the bound ends the channel at both ends, behind what was sent, with one line
        in the log; every send comes out, and later ones fail."""
        self.make = lambda: Channel(buffer_limit=4000)
        channel, end = self.get()
        end.reads = False
        with capturedLogs() as events:
            outcomes = [channel.send(n) for n in range(1500)]
        self.page.pump()
        self.assertIsInstance(self.closed[0], ChannelOverflowError)
        self.assertEqual(len(self.closed), 1)
        self.assertEqual([trouble and trouble.code for trouble in end.ended], ["overflow"])
        self.assertEqual(end.heard, list(range(1024)))
        self.assertTrue(all(one.done for one in outcomes))
        self.assertIsInstance(self.failure(outcomes[1024]), ChannelOverflowError)
        [line] = said(events)
        self.assertIn("live.buffer_limit", line)
        self.assertEqual(self.world.live.sessions.tally.overflows, 1)
        self.nothing_left()

    def test_page_over_the_bound(self) -> None:
        """The same where it is the page that sends too much: the server hears of it, and logs."""
        channel, end = self.get()
        with capturedLogs() as events:
            end.act("end", Trouble("overflow"), self.page.now)
            self.page.pump()
        self.assertIsInstance(self.closed[0], ChannelOverflowError)
        self.assertEqual(len(said(events)), 1)
        self.assertTrue(channel.is_closed)
        self.nothing_left()

    def test_away(self) -> None:
        """While the page is away likewise, and it is told when it comes back."""
        self.make = lambda: Channel(buffer_limit=2000)
        channel, end = self.get()
        channel.send("before")
        self.page.pump()
        self.page.cut()
        for n in range(10):
            channel.send(n)
        self.assertIsInstance(self.closed[0], ChannelOverflowError)
        self.page.connect()
        self.page.pump()
        self.assertEqual(end.heard, ["before"])
        self.assertEqual([trouble and trouble.code for trouble in end.ended], ["overflow"])
        self.nothing_left()

    def test_drop_oldest(self) -> None:
        """A channel that was made to drop goes on with the newest, on a page that is there too."""
        self.make = lambda: Channel(buffer_limit=2020, overflow="drop-oldest")
        channel, end = self.get()
        end.reads = False
        with capturedLogs() as events:
            outcomes = [channel.send(n) for n in range(1100)]
            self.page.pump()
            end.read()
            self.page.pump()
        self.assertEqual(end.heard, [*range(1024), *range(1095, 1100)])
        dropped = [self.failure(one) for one in outcomes[1024:1095]]
        self.assertEqual({type(error) for error in dropped}, {ChannelOverflowError})
        self.assertEqual((self.closed, said(events)), ([], []))
        self.assertEqual(self.world.live.sessions.tally.overflows, 71)

    def test_both_ends_drop(self) -> None:
        """The page is told what its end does."""
        self.make = lambda: Channel(overflow="drop-oldest")
        _, body = self.page.call("onOpen")
        self.assertEqual(body["live"][0]["overflow"], "drop-oldest")
        self.make = Channel
        _, body = self.page.call("onOpen")
        self.assertNotIn("overflow", body["live"][0])

    def test_usage(self) -> None:
        """Another word is refused, and so is dropping what is kept."""
        with self.assertRaises(UsageError):
            Channel(overflow="drop")  # type: ignore[arg-type]
        with self.assertRaises(UsageError):
            BroadcastChannel(key="k", replay=Replay(), overflow="drop-oldest")


class TotalTests(ChannelCase):
    """Many channels of pages that read nothing."""

    config = Live(buffer_total_bytes=1024 * 1024)

    def test_largest_ends(self) -> None:
        """Over the bound for all, the one that holds most ends; the others go on."""
        got = [self.get() for _ in range(3)]
        for _, end in got:
            end.reads = False
        (small, _), (large, large_end), (last, last_end) = got
        self.page.cut()
        small.send("x")
        large.send("x" * 600_000)
        for n in range(100):
            last.send(f"{n}" + "x" * 5_000)
        self.assertTrue(large.is_closed)
        self.assertIsInstance(self.closed[0], ChannelOverflowError)
        self.assertEqual((len(self.closed), small.is_closed, last.is_closed), (1, False, False))
        self.page.connect()
        self.page.pump()
        self.assertEqual([trouble and trouble.code for trouble in large_end.ended], ["overflow"])
        self.assertEqual(len(last_end.heard), 100)


class _Holder:
    def __init__(self, backlog: Backlog) -> None:
        self.backlog = backlog
        self.ended = False

    def overflow(self) -> None:
        self.ended = True
        self.backlog.note(self, 0)


class BacklogTests(SynchronousTestCase):
    """The sum."""

    def test_sum(self) -> None:
        """It is what its holders hold, and whoever holds nothing is forgotten."""
        backlog = Backlog(100)
        holders = [_Holder(backlog) for _ in range(4)]
        for holder, held in zip(holders, (40, 30, 30, 0), strict=True):
            backlog.note(holder, held)
        self.assertEqual(backlog.size, 100)
        backlog.note(holders[3], 1)
        self.assertEqual([one.ended for one in holders], [True, False, False, False])
        self.assertEqual(backlog.size, 61)
        for holder in holders:
            backlog.note(holder, 0)
        self.assertEqual((backlog.size, backlog._held), (0, {}))

    def test_ending_already(self) -> None:
        """Whoever is in the middle of ending says so later: nobody else ends in its place."""
        backlog = Backlog(100)

        class Slow(_Holder):
            def overflow(self) -> None:
                self.ended = True

        slow, other = Slow(backlog), _Holder(backlog)
        backlog.note(slow, 90)
        backlog.note(other, 20)
        self.assertEqual((slow.ended, other.ended, backlog.size), (True, False, 110))
