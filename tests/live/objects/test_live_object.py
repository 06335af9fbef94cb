"""The server's end of a live object: order of what is carried out, timers, and its end."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from takotwist.live import (
    Abort,
    Channel,
    ChannelOverflowError,
    NetworkError,
    UsageError,
)
from takotwist.live.machine.frames import Frame, Trouble
from takotwist.live.objects.live_object import CLOSE_PATIENCE, LONGEST_CLOSE, LiveObject
from tests.live.objects.pair import Pair


class LiveObjectTests(SynchronousTestCase):
    """A channel stands for both kinds."""

    def pair(self, **options: Any) -> Pair:
        """A channel that its page has attached to."""
        pair = Pair(lambda: Channel(**options))
        pair.attach()
        return pair

    def failure(self, outcome: Any) -> BaseException:
        """The failure of an outcome."""
        self.assertTrue(outcome.done)
        return self.assertRaises(Exception, outcome.result)  # noqa: B017

    def test_one_after_the_other(self) -> None:
        """What a listener sends comes behind what was being sent, never inside it."""
        pair = self.pair()
        pair.one.send("before")

        def heard(data: object) -> None:
            pair.one.send(f"{data} 1")
            pair.one.send(f"{data} 2")

        pair.one.listen(heard)
        pair.say("send", "a")
        pair.say("send", "b")
        self.assertEqual(pair.sent("send"), ["before", "a 1", "a 2", "b 1", "b 2"])

    def test_opened_once(self) -> None:
        """`on_open` is called at the first attach; later callers are called at once."""
        pair = Pair(Channel)
        opened: list[str] = []
        pair.one.on_open(lambda: opened.append("first"))
        self.assertFalse(pair.one.was_attached)
        self.assertEqual(opened, [])
        pair.attach()
        pair.one.detach()
        pair.attach()
        self.assertEqual(opened, ["first"])
        pair.one.on_open(lambda: opened.append("late"))
        self.assertEqual(opened, ["first", "late"])
        self.assertTrue(pair.one.was_attached)

    def test_never_attached(self) -> None:
        """It ends with `NetworkError` when nobody attaches in time, and leaves no timer."""
        pair = Pair(Channel)
        closed: list[BaseException | None] = []
        pair.one.on_close(closed.append)
        self.assertEqual(len(pair.deadlines), 1)
        pair.advance(pair.services.bounds.connect_ttl or 0)
        [error] = closed
        self.assertIsInstance(error, NetworkError)
        self.assertEqual(len(pair.deadlines), 0)

    def test_not_attached_again(self) -> None:
        """After a cut it waits, for as long as is configured."""
        pair = self.pair()
        self.assertEqual(len(pair.deadlines), 0)
        pair.one.detach()
        pair.advance(pair.services.bounds.reconnect_timeout - 1)
        self.assertFalse(pair.one.is_closed)
        pair.advance(1)
        self.assertTrue(pair.one.is_closed)

    def test_session_is_told_of_the_end(self) -> None:
        """The session lets go of it when nothing is left to be done, and says how it ended."""
        pair = self.pair()
        self.assertIsNone(pair.one.outcome)
        pair.one.abort({"why": 1})
        self.assertEqual(pair.one.outcome, (Trouble("abort", b'{"why":1}'),))
        pair.one.detach()
        pair.advance(1000)
        self.assertEqual(pair.session.forgot, 1)
        self.assertEqual(pair.one.held, 0)

    def test_breach(self) -> None:
        """A frame that no client sends ends the wire, and the object does not hear it."""
        pair = self.pair()
        heard: list[object] = []
        pair.one.listen(heard.append)
        pair.one.receive(Frame("send", 5, b"1"))
        self.assertEqual(len(pair.session.reasons), 1)
        self.assertEqual(heard, [])

    def test_close_agreed(self) -> None:
        """A graceful close is 0 when the page agrees; a second caller gets the same answer."""
        pair = self.pair()
        closing = pair.one.close()
        self.assertIs(pair.one.close(1), closing)
        self.assertFalse(closing.done)
        pair.say("closed")
        self.assertEqual(closing.result(), 0)

    def test_close_in_vain(self) -> None:
        """It is 1 when the time is up."""
        pair = self.pair()
        closing = pair.one.close(2)
        pair.advance(1.9)
        self.assertFalse(closing.done)
        pair.advance(0.2)
        self.assertEqual(closing.result(), 1)

    def test_close_for_ever(self) -> None:
        """An endless timeout is said to the page as the longest that its timers know."""
        pair = self.pair()
        pair.one.close(float("inf"))
        [frame] = [one for one in pair.session.sent if one.do == "close"]
        self.assertEqual(frame.timeout, LONGEST_CLOSE)

    def test_wrong_timeouts(self) -> None:
        """What is no number of seconds from 0 is refused, and nothing is closed."""
        pair = self.pair()
        for wrong in (-1, float("nan"), True, None, "1"):
            self.assertRaises(UsageError, pair.one.close, wrong)
        self.assertFalse(pair.one.is_closed)

    def test_close_from_its_own_callback(self) -> None:
        """`close` within `on_close` does not wait for itself."""
        pair = self.pair()
        results: list[int] = []
        pair.one.on_close(lambda: results.append(pair.one.close().result()))
        pair.one.abort()
        self.assertEqual(len(results), 1)

    def test_close_waits_for_callbacks(self) -> None:
        """A coroutine of `on_close` is waited for, and not longer than said."""
        pair = self.pair()
        never: Deferred[None] = Deferred()

        async def later() -> None:
            await never

        pair.one.on_close(later)
        closing = pair.one.close(1)
        pair.say("closed")
        self.assertFalse(closing.done)
        with capturedLogs():
            pair.advance(CLOSE_PATIENCE)
        self.assertTrue(closing.done)

    def test_overflow(self) -> None:
        """More than may wait ends it; that is counted, and an operator reads which setting."""
        pair = self.pair(buffer_limit=100)
        pair.one.detach()
        with capturedLogs() as logs:
            sends = [pair.one.send("x" * 60) for _ in range(3)]
        self.assertTrue(pair.one.is_closed)
        self.assertGreaterEqual(pair.session.overflows, 1)
        self.assertIn("live.buffer_limit", " ".join(map(formatEvent, logs)))
        self.assertIsInstance(self.failure(sends[0]), ChannelOverflowError)

    def test_drop_oldest(self) -> None:
        """Or the oldest are dropped, counted, and their senders told."""
        pair = self.pair(buffer_limit=100, overflow="drop-oldest")
        pair.one.detach()
        sends = [pair.one.send("x" * 60) for _ in range(3)]
        self.assertFalse(pair.one.is_closed)
        self.assertIsInstance(self.failure(sends[0]), ChannelOverflowError)
        self.assertGreaterEqual(pair.session.overflows, 1)

    def test_held_is_summed(self) -> None:
        """What waits counts in the sum of all buffers, and not any more when it has ended."""
        pair = self.pair()
        pair.one.detach()
        pair.one.send("x" * 1000)
        self.assertGreater(pair.one.held, 1000)
        self.assertEqual(pair.services.backlog.size, pair.one.held)
        pair.one.abort()
        self.assertEqual(pair.services.backlog.size, pair.one.held)

    def test_outside_a_call(self) -> None:
        """Made outside a call it has the defaults, and no clock that runs."""
        one: Channel[Any, Any] = Channel()
        self.assertEqual((one.id, one.held), ("", 0))
        self.assertIn("not returned yet", repr(one))
        one.abort()
        self.assertTrue(one.is_closed)

    def test_wrong_options(self) -> None:
        """Options that cannot be are refused where the object is made."""
        wrong: Any = "drop"
        self.assertRaises(UsageError, Channel, buffer_limit=-1)
        self.assertRaises(UsageError, LiveObject, None, wrong)

    def test_abort_needs_a_form(self) -> None:
        """A value that JSON cannot carry is refused, and it goes on."""
        pair = self.pair()
        self.assertRaises((TypeError, ValueError), pair.one.abort, object())
        closed: list[Any] = []
        pair.one.on_close(closed.append)
        pair.one.abort(7)
        [error] = closed
        self.assertIsInstance(error, Abort)
        self.assertEqual(error.value, 7)
