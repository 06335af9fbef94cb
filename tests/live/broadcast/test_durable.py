"""Durable broadcasts with pages: cursors, restarts, too old, slow, gone."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.core.channel import Lifecycle
from takotwist.core.topic import Draft, Topic
from takotwist.errors import MessageTooLarge, ReplayTooOld, StoreUnavailable
from takotwist.live import (
    Broadcast,
    BroadcastChannel,
    Receipt,
    Replay,
    ReplayError,
    UsageError,
    function,
)
from takotwist.live.broadcast.broadcast import (
    Broadcasts,
    default_broadcasts,
    set_default_broadcasts,
)
from takotwist.live.broadcast.bus import Bus
from takotwist.server.config import Config
from takotwist.server.config.limits import Live
from takotwist.server.live_log import CHANNEL
from takotwist.testing.world import BEGINNING, World
from tests.live.page import ClientEnd, Page

REPLAY = Replay(window=60, max_messages=100)


@function
async def on_join(after: str | int | None = None) -> BroadcastChannel[Any]:
    return BroadcastChannel(key="secret-room", replay=REPLAY, after=after)


class Durable(SynchronousTestCase):
    """A world with one durable key."""

    config: Config | None = None

    def setUp(self) -> None:
        self.begin(None)

    def begin(self, log: Any, **more: Any) -> None:
        """A server, on what an earlier one has stored."""
        self.world = World(functions=[on_join], config=self.config, log=log, **more)
        self.page = Page(self.world)
        self.page.connect()

    def restart(self) -> None:
        """Another process on the same log."""
        log, now = self.world.parts.log, self.world.clock.seconds()
        self.world.live.sessions.close()
        self.world = World(functions=[on_join], config=self.config, log=log)
        self.world.clock.rightNow = now
        self.page = Page(self.world)
        self.page.connect()

    def join(self, *args: Any, subscribe: bool = True, **more: Any) -> ClientEnd:
        """A member that listens."""
        end = self.page.get("onJoin", *args)
        if subscribe:
            self.place = end.subscribe(ack=True, **more)
            end.subscribe("binary", ack=True, **more)
        self.pump()
        return end

    def pump(self) -> None:
        """Let everything come that is under way."""
        self.page.pump()
        self.world.advance(0)
        self.page.pump()

    def publish(self, *messages: Any) -> list[Receipt]:
        """On the server."""
        outcomes = [
            Broadcast.publish_binary("secret-room", one, replay=REPLAY)
            if isinstance(one, bytes)
            else Broadcast.publish("secret-room", one, replay=REPLAY)
            for one in messages
        ]
        self.page.pump()
        return [one.result() for one in outcomes]


class DurableTests(Durable):
    """Members of a durable key."""

    def test_entry(self) -> None:
        """The page is told that it is durable, and never the key."""
        status, body = self.page.call("onJoin")
        self.assertEqual((status, body["live"][0]["durable"]), (200, True))
        end = self.join()
        self.publish({"n": 1}, b"\x01")
        end.publish("mine")
        self.pump()
        assert self.page.socket is not None
        self.assertEqual(end.heard, [{"n": 1}, b"\x01", "mine"])
        self.assertNotIn(b"secret-room", self.page.socket.received)

    def test_replay_then_live(self) -> None:
        """A late member gets what is kept after its cursor, text and bytes, then what comes."""
        receipts = self.publish("a", b"b", "c")
        self.assertEqual([one.seq for one in receipts], [1, 2, 3])
        end = self.join(receipts[0].cursor)
        self.assertEqual(end.heard, [b"b", "c"])
        self.publish("d", b"e")
        self.assertEqual(end.heard, [b"b", "c", "d", b"e"])
        self.assertEqual([one.seq for one in end.infos], [2, 3, 4, 5])
        self.assertEqual({one.epoch for one in end.infos}, {receipts[0].epoch})
        self.assertEqual(str(end.infos[1].cursor), receipts[2].cursor)
        self.assertEqual(end.infos[0].timestamp, receipts[1].timestamp)

    def test_begins_now(self) -> None:
        """Without a cursor a member begins now, and is told where that is."""
        [first] = self.publish("old")
        end = self.join()
        self.assertEqual(end.heard, [])
        self.assertEqual(self.place.answer, {"cursor": first.cursor})
        self.publish("new")
        self.assertEqual(end.heard, ["new"])
        again = self.join(self.place.answer["cursor"])
        self.assertEqual(again.heard, ["new"])

    def test_everything(self) -> None:
        """Cursor 0 is all that is kept, by the function or by the page."""
        self.publish("a", b"b", "c")
        self.assertEqual(self.join(0).heard, ["a", b"b", "c"])
        self.assertEqual(self.join(cursor=0).heard, ["a", b"b", "c"])

    def test_cursor_of_the_page(self) -> None:
        """The page may ask for a cursor, but for none before the function's."""
        first, second, _ = self.publish("a", "b", "c")
        self.assertEqual(self.join(cursor=int(first.cursor or 0)).heard, ["b", "c"])
        self.assertEqual(self.join(second.cursor, cursor=int(first.cursor or 0)).heard, ["c"])
        self.assertEqual(self.join(second.cursor, cursor=0).heard, ["c"])

    def test_receipt_after_commit(self) -> None:
        """A publication is accepted, and heard by anybody, when it is stored."""
        log = HoldingLog(self.world.clock)
        self.begin(log)
        heard: list[Any] = []
        Broadcast.subscribe("secret-room", lambda data, info: heard.append(data))
        end = self.join()
        log.held = []
        outcome = Broadcast.publish("secret-room", "x", replay=REPLAY)
        mine = end.publish("y")
        self.pump()
        self.assertEqual((outcome.done, mine.answered, heard, end.heard), (False, False, [], []))
        log.let_go()
        self.pump()
        self.assertEqual((outcome.result().seq, mine.answer["seq"]), (1, 2))
        self.assertEqual((heard, end.heard), (["x", "y"], ["x", "y"]))
        self.assertEqual(mine.answer["cursor"], str(end.infos[1].cursor))

    def test_store_failure(self) -> None:
        """Where nothing can be stored nobody hears it, the log has a line for who does not await
        it, and the count has no gap afterwards."""
        log = HoldingLog(self.world.clock)
        self.begin(log)
        end = self.join()
        self.publish("a")
        log.failing = True
        mine = end.publish("lost")
        with capturedLogs() as events:
            server = Broadcast.publish("secret-room", "lost too", replay=REPLAY)
            self.pump()
        lines = [formatEvent(event) for event in events]
        self.assertEqual(
            [one for one in lines if "not stored" in one],
            ["a publication was not stored: store-unavailable"],
        )
        assert mine.trouble is not None
        self.assertEqual((mine.trouble.code, mine.trouble.message), ("failed", "store-unavailable"))
        self.assertRaises(StoreUnavailable, server.result)
        log.failing = False
        self.assertEqual(self.publish("b")[0].seq, 2)
        self.assertEqual(end.heard, ["a", "b"])

    def test_restart(self) -> None:
        """After a restart the count goes on, and a member gets what it missed."""
        before = self.publish("a", "b", b"c")
        self.restart()
        end = self.join(before[0].cursor)
        self.assertEqual(end.heard, ["b", b"c"])
        mine = end.publish("d")
        self.pump()
        self.assertEqual((mine.answer["seq"], mine.answer["epoch"]), (4, before[0].epoch))
        self.assertEqual([one.seq for one in end.infos], [2, 3, 4])

    def test_restart_with_nothing_kept(self) -> None:
        """Where nothing was kept for long the count begins anew, and says so by its epoch."""
        [before] = self.publish("a")
        self.page.advance(120)
        self.world.clock.rightNow += 25 * 3600
        self.page.advance(120)
        self.restart()
        [after] = self.publish("b")
        self.assertEqual(after.seq, 1)
        self.assertGreater(after.epoch, before.epoch)
        self.assertGreater(int(after.cursor or 0), int(before.cursor or 0))

    def test_count_goes_on(self) -> None:
        """However far back, and however many, the last publications are."""
        for seconds in (0, 1, 20, 120):
            with self.subTest(seconds=seconds):
                self.begin(None)
                before = self.publish(*range(30))[-1]
                self.page.advance(seconds)
                self.restart()
                [after] = self.publish("next")
                self.assertEqual((after.seq, after.epoch), (31, before.epoch))

    def test_stored_before_the_log_counted(self) -> None:
        """What an earlier version stored keeps its numbers; the count goes on in a new epoch."""
        epoch = int(BEGINNING * 1000) - 5
        drafts = [Draft("text", b'[%d,%d,"old %d"]' % (seq, epoch, seq)) for seq in (6, 7)]
        topic = Topic.of(CHANNEL, {"key": "secret-room"})
        self.world.parts.publishing.publish(topic, drafts, REPLAY.over(Lifecycle()))
        [receipt] = self.publish("new")
        end = self.join(0)
        self.assertEqual(end.heard, ["old 6", "old 7", "new"])
        self.assertEqual([one.seq for one in end.infos], [6, 7, 1])
        self.assertEqual([one.epoch for one in end.infos], [epoch, epoch, receipt.epoch])
        self.assertGreater(receipt.epoch, epoch)

    def test_subscriber_without_a_cursor(self) -> None:
        """It hears what is published from then on, once, in the order of the log, also what was
        published before the key was durable; and costs the log nothing once it has gone."""
        heard: list[Any] = []
        leave = Broadcast.subscribe("secret-room", lambda data, info: heard.append((data, info)))
        Broadcast.publish("secret-room", "before")
        receipts = self.publish("a", "b")
        self.assertEqual([data for data, _ in heard], ["before", "a", "b"])
        self.assertEqual([info for _, info in heard[1:]], receipts)
        leave()
        self.publish("c")
        self.assertEqual(len(heard), 3)
        self.assertEqual(self.world.parts.fanout.keys(), frozenset())

    def test_subscriber_that_was_passed_by(self) -> None:
        """Whose process was away from the log for longer than the window goes on from now."""
        heard: list[Any] = []
        Broadcast.subscribe("secret-room", lambda data, info: heard.append(info.seq))
        self.publish("a")
        [audience] = self.world.parts.fanout.audiences()
        [one] = audience.members
        self.world.parts.attacher._end(one, ReplayTooOld())
        self.world.advance(0)
        self.publish("b")
        self.assertEqual(heard, [1, 2])

    def test_unsubscribed_before_the_reactor_could(self) -> None:
        """A plain function subscribes from its thread, and may think better of it at once."""
        calls: list[Any] = []
        usual = default_broadcasts()
        self.addCleanup(set_default_broadcasts, usual)
        set_default_broadcasts(attrs.evolve(usual, run=calls.append))
        heard: list[Any] = []
        Broadcast.subscribe("secret-room", lambda data, info: heard.append(data))()
        stays = Broadcast.subscribe("secret-room", lambda data, info: heard.append(data))
        for call in calls:
            call()
        Broadcast.publish("secret-room", 1)
        calls[-1]()
        stays()
        calls[-1]()
        self.assertEqual((heard, len(usual.bus)), ([1], 0))

    def test_too_old(self) -> None:
        """A cursor out of the window is a definite end, or a reset where the page wants that."""
        [old] = self.publish("a")
        self.publish("b")
        self.page.advance(120)
        [newest] = self.publish("c")
        end = self.join(old.cursor)
        [trouble] = end.ended
        assert trouble is not None
        self.assertEqual((trouble.code, trouble.message), ("failed", "replay-too-old"))
        other = self.join(old.cursor, reset=True)
        self.assertEqual(self.place.answer, {"cursor": newest.cursor, "reset": "replay-too-old"})
        self.publish("d")
        self.assertEqual(other.heard, ["d"])

    def test_retention(self) -> None:
        """No more is kept than `Replay` says, whoever asks."""
        self.publish(*range(250))
        heard = self.join(0).heard
        self.assertEqual(heard, list(range(150, 250)))

    def test_unknown_cursor(self) -> None:
        """A cursor that was never given out ends the member; one that is none fails the call."""
        end = self.join(2**53 - 1)
        [trouble] = end.ended
        assert trouble is not None
        self.assertEqual((trouble.code, trouble.message), ("failed", "cursor-invalid"))
        status, body = self.page.call("onJoin", "tomorrow")
        self.assertEqual((status, body["code"]), (400, "cursor-invalid"))

    def test_server_hears_why(self) -> None:
        """The function's `on_close` gets the reason."""
        closed: list[Any] = []

        @function
        async def on_old() -> BroadcastChannel[Any]:
            member: BroadcastChannel[Any] = BroadcastChannel(key="k", replay=REPLAY, after=1)
            member.on_close(closed.append)
            return member

        world = World(functions=[on_old])
        page = Page(world)
        page.connect()
        page.get("onOld").subscribe()
        page.advance(1)
        [error] = closed
        self.assertIsInstance(error, ReplayError)
        self.assertEqual(error.code, "replay-too-old")

    def test_other_kind_from_before(self) -> None:
        """A kind that is subscribed later may begin earlier: the first is not given again."""
        first = self.publish("a", b"b", "c", b"d")[0]
        end = self.join(subscribe=False)
        end.subscribe(ack=True, cursor=int(first.cursor or 0))
        self.pump()
        self.publish("e")
        self.assertEqual(end.heard, ["c", "e"])
        end.subscribe("binary", ack=True, cursor=0)
        self.pump()
        self.assertEqual(end.heard, ["c", "e", b"b", b"d"])
        self.publish("f", b"g")
        self.assertEqual(end.heard[4:], ["f", b"g"])

    def test_reset_of_one_kind(self) -> None:
        """A kind whose cursor is too old begins now; the other one loses nothing."""
        [old] = self.publish("a")
        self.page.advance(120)
        end = self.join(subscribe=False)
        end.subscribe(ack=True)
        self.pump()
        late = end.subscribe("binary", ack=True, cursor=int(old.cursor or 0) - 1, reset=True)
        self.pump()
        self.assertEqual(late.answer["reset"], "replay-too-old")
        self.publish("x", b"y")
        self.assertEqual(end.heard, ["x", b"y"])

    def test_leaves_and_comes_again(self) -> None:
        """Who unsubscribes hears nothing; a later subscribe begins now, or at its cursor."""
        end = self.join(0)
        [first] = self.publish("a")
        end.unsubscribe("text")
        self.pump()
        self.publish("b", b"c")
        end.subscribe(ack=True)
        self.pump()
        self.publish("d")
        self.assertEqual(end.heard, ["a", b"c", "d"])
        end.unsubscribe("text")
        end.subscribe(cursor=int(first.cursor or 0))
        self.pump()
        self.assertEqual(end.heard, ["a", b"c", "d", "b", "d"])

    def test_subscribed_twice(self) -> None:
        """A second subscribe of a kind changes nothing, and is answered."""
        end = self.join(0)
        again = end.subscribe(ack=True, cursor=0)
        self.pump()
        [receipt] = self.publish("a")
        self.assertTrue(again.answered)
        self.assertEqual(end.heard, ["a"])
        self.assertEqual(receipt.seq, 1)

    def test_plain_members_too(self) -> None:
        """A key that is durable reaches those who did not say so, and keeps what they publish."""
        plain: BroadcastChannel[Any] = BroadcastChannel(key="secret-room")
        heard: list[Any] = []
        self.join()
        plain.subscribe(lambda data, info: heard.append((data, info.seq, info.cursor is not None)))
        plain.publish("from plain")
        self.publish("from durable")
        self.assertEqual(heard, [("from plain", 1, True), ("from durable", 2, True)])
        self.assertEqual(self.join(0).heard, ["from plain", "from durable"])

    def test_plain_one_is_answered_too(self) -> None:
        """A page may ask where any membership begins; of one that keeps nothing that is nowhere."""

        @function
        async def on_plain() -> Any:
            return BroadcastChannel(key="plain")

        self.world.live.replace({"onPlain": on_plain})
        asked = self.page.get("onPlain").subscribe(ack=True)
        self.pump()
        self.assertEqual((asked.answered, asked.answer), (True, {}))

    def test_from_a_thread(self) -> None:
        """A plain function runs in a thread: what it publishes is handed to the reactor."""
        calls: list[Any] = []
        usual = default_broadcasts()
        self.addCleanup(set_default_broadcasts, usual)
        set_default_broadcasts(attrs.evolve(usual, run=calls.append))
        outcomes = [
            Broadcast.publish("secret-room", 1, replay=REPLAY),
            Broadcast.publish("plain", 2),
        ]
        self.assertEqual([one.done for one in outcomes], [False, False])
        for call in calls:
            call()
        self.assertEqual([one.result().seq for one in outcomes], [1, 1])

    def test_too_large(self) -> None:
        """What is larger than a message may be is not stored."""
        outcome = Broadcast.publish_binary("secret-room", bytes(2**20 + 1), replay=REPLAY)
        self.assertRaises(MessageTooLarge, outcome.result)

    def test_checked_arguments(self) -> None:
        """What `replay` and `after` cannot be is said at once."""
        for wrong in (
            {"window": "a day"},
            {"window": -1},
            {"window": True},
            {"max_messages": 0},
            {"max_bytes": 1},
        ):
            with self.subTest(wrong=wrong):
                misuse = self.assertRaises(UsageError, Replay, **wrong)
                self.assertIn(next(iter(wrong)), str(misuse))
        self.assertRaises(UsageError, BroadcastChannel, key="k", after=1)
        self.addCleanup(set_default_broadcasts, default_broadcasts())
        set_default_broadcasts(Broadcasts(Bus()))
        self.assertRaises(UsageError, BroadcastChannel, key="k", replay=Replay())
        self.assertRaises(UsageError, Broadcast.publish, "k", 1, replay=Replay())

    def test_no_channel_reaches_it(self) -> None:
        """The log's topics of broadcasts are no channels: nobody reads or writes them as such."""
        self.publish("a")
        for method in ("GET", "POST"):
            peer = self.world.request(
                method, "/channels/~broadcast?key=secret-room", private=True, body={"type": "text"}
            )
            self.assertEqual(peer.status, 404)


class SlowDurableTests(Durable):
    """Members that are away or slow."""

    config = Config(live=Live(buffer_limit=2048, replay_bytes=16384))

    def setUp(self) -> None:
        super().setUp()
        self.page.bounds = attrs.evolve(self.page.bounds, window_messages=4)

    def test_slow_member_is_not_cut_off(self) -> None:
        """A page that does not read costs no memory; when it reads it gets everything."""
        end = self.join()
        end.reads = False
        self.publish(*(["x" * 1000 + str(n) for n in range(80)]))
        self.assertLess(self.world.live.sessions.held, 8192)
        self.assertLess(len(end.heard), 10)
        end.reads = True
        end.read()
        self.page.advance(1)
        self.assertEqual([one[1000:] for one in end.heard], [str(n) for n in range(80)])
        self.assertEqual(end.ended, [])

    def test_passed_by(self) -> None:
        """A member that the window has passed by is told so, not skipped forward."""
        end = self.join()
        end.reads = False
        self.publish(*(["x" * 1000] * 120))
        self.page.advance(62)
        end.reads = True
        end.read()
        self.page.advance(1)
        [trouble] = end.ended
        assert trouble is not None
        self.assertEqual((trouble.code, trouble.message), ("failed", "replay-too-old"))

    def test_away(self) -> None:
        """What comes while the page is away waits in the log and not in memory."""
        end = self.join()
        self.publish("a")
        self.page.cut()
        self.publish(*(["y" * 500 + str(n) for n in range(50)]))
        self.assertLess(self.world.live.sessions.held, 1024)
        self.page.connect()
        self.page.advance(1)
        self.assertEqual([one[500:] for one in end.heard[1:]], [str(n) for n in range(50)])
        self.assertEqual(end.ended, [])

    def test_c23_nothing_left(self) -> None:
        """C23: a thousand durable members that end in every way leave nothing."""
        self.config = Config(live=Live(call_rate=0))
        self.setUp()
        timers = len(self.world.parts.deadlines)
        for number in range(334):
            ends = [self.join(0), self.join(), self.join(subscribe=False)]
            self.publish("x")
            self.WAYS[number % len(self.WAYS)](self, ends)
            self.page.pump()
        self.page.advance(70)
        self.assertEqual(list(self.world.live.sessions), [])
        self.assertEqual(list(self.world.parts.fanout.audiences()), [])
        self.assertEqual(self.world.parts.metrics.subscriptions, 0)
        self.assertEqual(len(self.world.parts.deadlines), timers)
        self.assertEqual(len(self.world.live.services.broadcasts.bus), 0)

    def _cut(self, ends: list[ClientEnd]) -> None:
        self.page.cut()
        self.page.ends.clear()
        self.page.connect()

    def _leave(self, ends: list[ClientEnd]) -> None:
        self.page.say({"op": "live.leave"})
        self.page.ends.clear()

    def _leave_apart(self, ends: list[ClientEnd]) -> None:
        body = {"session": self.page.secret}
        peer = self.world.request(
            "POST", "/_tako/connect/leave", {"Content-Type": "text/plain"}, body
        )
        self.assertEqual(peer.status, 204)
        self.page.ends.clear()

    def _break(self, ends: list[ClientEnd]) -> None:
        self.page.say({"op": "live.jump"})
        self.page.cut()
        self.page.ends.clear()
        self.page.connect()

    def _unsubscribe_and_close(self, ends: list[ClientEnd]) -> None:
        for end in ends[:2]:
            end.unsubscribe("text")
        self._close(ends)

    def _close(self, ends: list[ClientEnd]) -> None:
        for end in ends:
            end.close()

    def _abort(self, ends: list[ClientEnd]) -> None:
        for end in ends:
            end.abort("enough")

    def _stop_and_close_at_once(self, ends: list[ClientEnd]) -> None:
        # Joined and over in one turn, before the log was asked.
        late = self.page.get("onJoin", 0)
        late.subscribe(ack=True)
        late.abort()
        self._close(ends)

    WAYS = (
        _close,
        _abort,
        _cut,
        _leave,
        _leave_apart,
        _break,
        _unsubscribe_and_close,
        _stop_and_close_at_once,
    )


@attrs.define(slots=False, init=False, eq=False)
class HoldingLog(InMemoryReplayLog):
    """Answers appends when it is told to.

    :ivar held: answers that wait; `None`: none do.
    """

    def __init__(self, clock: Any) -> None:
        InMemoryReplayLog.__init__(self, clock)
        self.held: list[Any] | None = None
        self.failing = False

    def append(self, entries: Any, now_us: int) -> Any:
        if self.failing:
            return fail(StoreUnavailable())
        if self.held is None:
            return InMemoryReplayLog.append(self, entries, now_us)
        waiting: Deferred[Any] = Deferred()
        self.held.append((waiting, entries, now_us))
        return waiting

    def let_go(self) -> None:
        """Answer all, and from now on at once."""
        held, self.held = self.held or [], None
        for waiting, entries, now_us in held:
            InMemoryReplayLog.append(self, entries, now_us).chainDeferred(waiting)


class UnreadableStart(Durable):
    """A log that cannot be read when a member joins."""

    def test_tried_again(self) -> None:
        """The member begins when the log can be read again, at its cursor."""
        [first, _] = self.publish("a", "b")
        self.world.parts.attacher.tails.clear()
        self.world.parts.log.stop()
        with capturedLogs():
            end = self.join(first.cursor)
            self.assertEqual((end.heard, end.ended), ([], []))
            self.world.parts.log.start(self.world.parts.follower)
            self.page.advance(3)
        self.assertEqual(end.heard, ["b"])
