"""The driver of a client machine on a loop of its own: what it carries out, and in which order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.driver import Driver, SubscriptionState, mode_of
from takotwist.client.errors import Gone, NoAnswer
from takotwist.client.events import Message
from takotwist.client.machine.machine import (
    AskCredentials,
    AskGone,
    Connect,
    Deliver,
    Drop,
    Intent,
    Move,
    Send,
    Settle,
    Stop,
)
from takotwist.client.machine.policy import Policy
from takotwist.client.receive_queue import ReceiveQueue
from takotwist.client.target import Target
from takotwist.interfaces import Coro


class Machine:
    """A machine whose intents are put in from outside."""

    def __init__(self) -> None:
        self.waiting: list[Intent] = []
        self.wake_at: float | None = None
        self.woken: list[float] = []

    def intents(self) -> list[Intent]:
        """See `Machine`."""
        given, self.waiting = self.waiting, []
        return given

    def woke(self, now: float) -> None:
        """See `Machine`."""
        self.woken.append(now)


class Connection:
    """See `takotwist.client.driver.Connection`; keeps what it is told."""

    def __init__(self) -> None:
        self.machine: Any = Machine()
        self.told: list[tuple[object, ...]] = []

    async def carry(self, driver: Driver, connect: Connect, line: Any) -> None:
        """See `Connection`."""

    async def ask_credentials(self, driver: Driver, topic: int) -> None:
        """See `Connection`."""
        self.told.append(("credentials", topic))

    def trouble(self, topic: int) -> str | None:
        """See `Connection`."""
        return None

    def publish(self, topic: int, type: str, data: object, key: str | None, now: float) -> int:
        """See `Connection`."""
        raise NotImplementedError

    def say(self, topic: int, state: object, now: float) -> int:
        """See `Connection`."""
        raise NotImplementedError

    def subject(self, topic: int) -> str | None:
        """See `Connection`."""
        return None

    def refreshed(self, topic: int, token: str) -> None:
        """See `Connection`."""

    def gone_answered(self, topic: int, cursor: str | None, now: float) -> None:
        """See `Connection`."""
        self.told.append(("go on", topic, cursor))

    def left(self, topic: int) -> None:
        """See `Connection`."""
        self.told.append(("left", topic))


class Line:
    """See `takotwist.client.driver.Line`; keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.is_cut = False

    def tell(self, fact: Callable[..., None], *args: object) -> None:
        """See `Line`."""

    async def sse(self, url: str, headers: Mapping[str, str]) -> None:
        """See `Line`."""

    async def websocket(
        self, url: str, headers: Mapping[str, str], opened: Callable[[str | None], None]
    ) -> None:
        """See `Line`."""

    def send(self, text: str) -> None:
        """See `Line`."""
        self.sent.append(text)

    def cut(self) -> None:
        """See `Line`."""
        self.is_cut = True


class PlainDriver(Driver):
    """On no loop: a coroutine is run at once, and may not wait."""

    def __init__(self) -> None:
        super().__init__(Connection(), Policy(), Target.of("https://example.com"))
        self.time = 7.0
        self.timers: list[float | None] = []
        self.lines: list[Line] = []
        self.resolved: list[tuple[object, str | None, Exception | None]] = []
        self.rooms = 0
        self.too_slow = False

    def now(self) -> float:
        """See `Driver`."""
        return self.time

    def set_timer(self, at: float | None) -> None:
        """See `Driver`."""
        self.timers.append(at)

    def open_line(self, connect: Connect) -> Line:
        """See `Driver`."""
        self.lines.append(Line())
        return self.lines[-1]

    def made_room(self) -> None:
        """See `Driver`."""
        self.rooms += 1

    def outcome(self, subscription: SubscriptionState, begin: Callable[[], int]) -> Awaitable[Any]:
        """See `Driver`."""
        raise NotImplementedError

    def resolve(self, future: object, id: str | None, error: Exception | None) -> None:
        """See `Driver`."""
        self.resolved.append((future, id, error))

    async def ask(self, function: Callable[..., object], *args: object) -> Any:
        """See `Driver`."""
        return function(*args)

    def run(self, work: Coro[None]) -> None:
        """See `Driver`."""
        try:
            work.send(None)
        except StopIteration:
            return
        raise AssertionError("it waits")

    async def close(self) -> None:
        """See `Driver`."""

    async def in_time(self, function: Callable[[], object], seconds: float) -> Any:
        """See `Driver`."""
        if self.too_slow:
            raise TimeoutError
        return function()


def message(id: str) -> Message:
    """A message of no matter what."""
    return Message(id=id, channel="chat", params={}, type="t", data=None)


class DriverTests(SynchronousTestCase):
    """`Driver`, by intents."""

    def setUp(self) -> None:
        self.driver = PlainDriver()
        self.connection: Any = self.driver.connection
        self.news = 0
        self.during: Callable[[], object] = lambda: None

    def subscription(self, topic: int = 0, most: int = 3, on_gone: Any = "reset") -> Any:
        """A subscription of a topic."""

        def news() -> None:
            self.news += 1
            self.during()

        state = SubscriptionState(ReceiveQueue(most, None), None, on_gone, news)
        self.driver.subscriptions[topic] = state
        return state

    def carry_out(self, *intents: Intent) -> None:
        """Have the machine want these."""
        self.connection.machine.waiting += intents
        self.driver.pump()

    def test_line(self) -> None:
        """What is sent goes out on the present line; after a drop it goes nowhere."""
        self.carry_out(Send("early"), Connect("websocket", None, True), Send("a"))
        self.carry_out(Drop(), Send("late"), Drop())
        [line] = self.driver.lines
        self.assertEqual((line.sent, line.is_cut), (["a"], True))

    def test_timer(self) -> None:
        """It is set to what the machine says, after all that it wanted."""
        self.connection.machine.wake_at = 9.0
        self.carry_out(Send("a"))
        self.assertEqual(self.driver.timers, [9.0])
        self.driver.woke()
        self.assertEqual(self.connection.machine.woken, [7.0])
        self.assertEqual(self.driver.timers, [9.0, 9.0])

    def test_never_inside(self) -> None:
        """What a caller who is woken asks for comes behind the intents that are under way."""
        self.subscription()
        self.carry_out(Connect("websocket", None, True))

        def publish() -> None:
            self.connection.machine.waiting.append(Send("behind"))
            self.driver.pump()

        self.during = publish
        self.carry_out(Deliver(message("1"), "1"), Send("before"))
        self.assertEqual(self.driver.lines[0].sent, ["before", "behind"])

    def test_events(self) -> None:
        """They go into the queue of their topic; those of a topic that is gone go nowhere."""
        one, other = self.subscription(0), self.subscription(1)
        self.carry_out(
            Deliver(message("1"), "1", 0),
            Move("2", 0),
            Deliver(message("3"), "3", 1),
            Deliver(message("4"), "4", 9),
        )
        self.assertEqual(one.queue.take(), message("1"))
        self.assertEqual(other.queue.take(), message("3"))
        self.assertEqual(self.news, 3)

    def test_stop(self) -> None:
        """A subscription that ends leaves, wakes its caller, and holds nobody back."""
        one = self.subscription(most=1)
        self.carry_out(Deliver(message("1"), "1"))
        self.assertTrue(self.driver.crowded)
        self.carry_out(Stop(None))
        self.assertFalse(self.driver.crowded)
        self.assertEqual((self.driver.subscriptions, self.driver.rooms), ({}, 1))
        self.assertEqual(one.queue.take(), message("1"))
        self.assertTrue(one.queue.ended)

    def test_back_pressure(self) -> None:
        """A full queue stops the reading, but not while its caller waits for an answer, which
        may be behind the messages."""
        one = self.subscription(most=1)
        self.carry_out(Deliver(message("1"), "1"))
        one.publishes[5] = "future"
        self.assertFalse(self.driver.crowded)
        del one.publishes[5]
        self.assertTrue(self.driver.crowded)
        one.queue.take()
        self.driver.took(one)
        self.assertEqual((self.driver.crowded, self.driver.rooms), (False, 1))

    def test_settled_once(self) -> None:
        """A publish has one outcome; a second one finds nobody."""
        one = self.subscription()
        one.publishes[5] = "future"
        failed = ValueError()
        self.carry_out(Settle(5, "17"), Settle(5, None, failed))
        self.assertEqual(self.driver.resolved, [("future", "17", None)])

    def test_gone(self) -> None:
        """The caller's function says where to go on; where it fails the subscription is over."""
        gone = Gone("replay-too-old", "1")
        self.subscription(0, on_gone=lambda it: it.cursor + "0")

        def fails(it: Gone) -> str:
            raise ValueError

        failing = self.subscription(1, on_gone=fails)
        self.carry_out(AskGone(gone, 0), AskGone(gone, 1), AskGone(gone, 9))
        self.assertEqual(self.connection.told, [("go on", 0, "10"), ("left", 1)])
        self.assertIsInstance(failing.queue.error, ValueError)

    def test_credentials(self) -> None:
        """They are asked for by topic; a function that takes too long is no answer."""
        self.carry_out(AskCredentials(3))
        self.assertEqual(self.connection.told, [("credentials", 3)])
        self.driver.too_slow = True

        async def ask() -> None:
            try:
                await self.driver.value_of(lambda: "t")
            except NoAnswer as late:
                self.connection.told.append(("late", str(late)))

        self.driver.run(ask())
        self.assertIn("30 s", self.connection.told[-1][1])

    def test_given_up(self) -> None:
        """What is not the network's doing ends all subscriptions with its error."""
        states = [self.subscription(topic) for topic in range(3)]
        failed = ValueError("no such module")
        self.driver.give_up_all(failed)
        self.assertEqual([one.queue.error for one in states], [failed] * 3)
        self.assertEqual(self.connection.told, [("left", topic) for topic in range(3)])

    def test_modes(self) -> None:
        """What to do where continuity has ended: one of two words, or a function."""
        self.assertEqual(mode_of("raise"), "raise")
        self.assertEqual(mode_of(lambda gone: None), "ask")
        wrong: Any = "ask"
        self.assertRaises(ValueError, mode_of, wrong)
