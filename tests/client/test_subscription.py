"""A subscription as a caller sees it, on no loop: when it begins, what it gives, how it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.connections import SharedConnection
from takotwist.client.driver import Driver
from takotwist.client.errors import Gone, SubscriptionClosed
from takotwist.client.machine.link import State
from takotwist.client.machine.machine import Deliver, Stop
from takotwist.client.machine.policy import Policy
from takotwist.client.members import AnyPresence, Room
from takotwist.client.options import SubscriptionOptions
from takotwist.client.subscription import AnyMux, AnySubscription
from takotwist.errors import TransportNotEnabled
from tests.client.test_driver import PlainDriver, message


class ClosableDriver(PlainDriver):
    """Counts how often it was closed, and keeps what its connection was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = 0
        connection: Any = self.connection
        connection.machine.link = self
        self.state = State.OPEN
        connection.refreshed = lambda *args: connection.told.append(("refreshed", *args))
        connection.trouble = lambda topic: f"trouble of {topic}"
        connection.publish = lambda *args: connection.told.append(("publish", *args)) or 17

    async def close(self) -> None:
        """See `Driver`."""
        self.closed += 1


@attrs.define(eq=False)
class PlainPresence(AnyPresence):
    """Wakes nobody."""

    def _changed(self) -> None:
        """See `AnyPresence`."""


@attrs.define(eq=False)
class Plain(AnySubscription[Driver, PlainPresence]):
    """On no loop."""

    woken: list[None] = attrs.field(factory=list, init=False)

    @property
    def _wake(self) -> Callable[[], None]:
        woken = self.woken
        return lambda: woken.append(None)

    def _follow(
        self,
        room: Room,
        options: SubscriptionOptions,
        begin: Callable[[SubscriptionOptions], int],
    ) -> PlainPresence:
        return PlainPresence(room, options, begin)


@attrs.define(eq=False)
class PlainMux(AnyMux[Driver, Plain]):
    """On no loop."""

    def _subscription(
        self, options: SubscriptionOptions, begin: Callable[[SubscriptionOptions], int]
    ) -> Plain:
        return Plain(self._driver, options, begin, own=False)


class SubscriptionCase(SynchronousTestCase):
    """A driver without a loop, and what was begun on it."""

    def setUp(self) -> None:
        self.driver = ClosableDriver()
        self.connection: Any = self.driver.connection
        self.begun: list[SubscriptionOptions] = []

    def begin(self, options: SubscriptionOptions) -> int:
        self.begun.append(options)
        return len(self.begun)

    def subscription(self, *, own: bool = False, **more: Any) -> Plain:
        said = {"params": None, "cursor": None, "credentials": None, "on_gone": "reset", **more}
        return Plain(self.driver, SubscriptionOptions("chat", **said), self.begin, own)

    def close(self, one: Plain) -> None:
        self.successResultOf(ensureDeferred(one.close()))

    def said(self, *intents: Any) -> None:
        """The machine wants something."""
        self.connection.machine.waiting += intents
        self.driver.pump()


class BeginningTests(SubscriptionCase):
    """It begins with the first use, once."""

    def test_idle(self) -> None:
        """Made is not begun."""
        one = self.subscription()
        self.assertEqual((self.begun, self.driver.subscriptions), ([], {}))
        self.assertIsNone(one.trouble)

    def test_ways(self) -> None:
        """By `start`, by reading, by publishing, by ``async with``; repeated it is one."""
        ways: list[Callable[[Plain], object]] = [
            lambda one: one.start(),
            lambda one: one.started(),
            lambda one: one._take(),
            lambda one: one._publishing("m", 1, None)(),
            lambda one: self.successResultOf(ensureDeferred(one.__aenter__())),
        ]
        for number, way in enumerate(ways, 1):
            one = self.subscription()
            for _ in range(2):
                way(one)
            self.assertEqual(len(self.begun), number)
            self.assertEqual(one.started(), number)
            self.assertIs(self.driver.subscriptions[number], one._subscription_state)

    def test_carried_out(self) -> None:
        """What the machine wants at the beginning finds the subscription there."""
        one = self.subscription()
        self.connection.machine.waiting = [Deliver(message("5"), "5", 1)]
        one.start()
        self.assertEqual(one._take(), message("5"))

    def test_publish(self) -> None:
        """A publish is of this topic, and of now."""
        one = self.subscription()
        self.assertEqual(one._publishing("m", {"a": 1}, "key")(), 17)
        self.assertEqual(self.connection.told, [("publish", 1, "m", {"a": 1}, "key", 7.0)])

    def test_closed_before(self) -> None:
        """What was closed before it began never begins."""
        one = self.subscription()
        self.close(one)
        one.start()
        self.assertRaises(SubscriptionClosed, one.started)
        self.assertRaises(SubscriptionClosed, one._publishing("m", 1, None))
        self.assertRaises(StopAsyncIteration, one._take)
        self.assertRaises(SubscriptionClosed, lambda: one.presence)
        self.assertEqual((self.begun, self.connection.told), ([], []))
        self.assertEqual((one.state, one.trouble), (State.CLOSED, None))


class ReadingTests(SubscriptionCase):
    """What a caller is given."""

    def test_cursor(self) -> None:
        """It is that of what was taken, not of what has come."""
        one = self.subscription(cursor="3")
        self.assertIsNone(one._take())
        self.said(*(Deliver(message(id), id, 1) for id in ("4", "5")))
        self.assertEqual(one.cursor, "3")
        self.assertEqual(one._take(), message("4"))
        self.assertEqual(one.cursor, "4")
        self.assertEqual(len(one.woken), 2)

    def test_makes_room(self) -> None:
        """Who reads has reading go on."""
        one = self.subscription()
        one.start()
        self.said(Deliver(message("4"), "4", 1))
        self.assertEqual(self.driver.rooms, 0)
        one._take()
        self.assertEqual(self.driver.rooms, 1)
        self.assertIsNone(one._take())
        self.assertEqual(self.driver.rooms, 1)

    def test_ended(self) -> None:
        """What came before the end is given; then the reason is raised, each time."""
        one = self.subscription()
        one.start()
        gone = Gone("replay-too-old", "4")
        self.said(Deliver(message("4"), "4", 1), Stop(gone, 1))
        self.assertEqual(one.state, State.CLOSED)
        self.assertEqual(one._take(), message("4"))
        for _ in range(2):
            self.assertIs(self.assertRaises(Gone, one._take), gone)

    def test_state(self) -> None:
        """That of the connection, while it is not ended; so is what is wrong with it."""
        one = self.subscription()
        one.start()
        for state in (State.CONNECTING, State.OPEN, State.WAITING):
            self.driver.state = state
            self.assertEqual(one.state, state)
        self.assertEqual(one.trouble, "trouble of 1")


class EndTests(SubscriptionCase):
    """Closing."""

    def test_close(self) -> None:
        """It leaves the topic and wakes who waits; the connection stays for the others."""
        one = self.subscription()
        one.start()
        self.close(one)
        self.assertEqual(self.connection.told, [("left", 1)])
        self.assertEqual((one.state, len(one.woken)), (State.CLOSED, 1))
        self.assertRaises(StopAsyncIteration, one._take)
        self.assertEqual(self.driver.closed, 0)

    def test_own_connection(self) -> None:
        """A connection of its own ends with it, begun or not."""
        for begun in (True, False):
            driver = self.driver = ClosableDriver()
            one = self.subscription(own=True)
            if begun:
                one.start()
            self.close(one)
            self.assertEqual(driver.closed, 1)

    def test_with(self) -> None:
        """The end of ``async with`` closes it, whatever was raised within."""

        async def use(one: Plain, error: Exception | None) -> None:
            async with one as same:
                self.assertIs(same, one)
                self.assertEqual(one.state, State.OPEN)
                if error is not None:
                    raise error

        for error in (None, ValueError("own")):
            one = self.subscription()
            using = ensureDeferred(use(one, error))
            if error is None:
                self.successResultOf(using)
            else:
                self.failureResultOf(using, ValueError)
            self.assertEqual(one.state, State.CLOSED)


class CredentialsTests(SubscriptionCase):
    """New credentials, before the old ones end."""

    def refresh(self, one: Plain) -> None:
        self.successResultOf(ensureDeferred(one.refresh_credentials()))

    def test_refreshed(self) -> None:
        """They are asked for anew, each time."""
        tokens = iter(["one", "two"])
        one = self.subscription(credentials=lambda: next(tokens))
        one.start()
        for _ in range(2):
            self.refresh(one)
        told = [("refreshed", 1, "one"), ("refreshed", 1, "two")]
        self.assertEqual(self.connection.told, told)

    def test_nothing_to_show(self) -> None:
        """Without any, or before it began, there is nothing to show and nobody to show it to."""
        guest = self.subscription()
        guest.start()
        self.refresh(guest)
        self.refresh(self.subscription(credentials="mine"))
        self.assertEqual(self.connection.told, [])


class PresenceTests(SubscriptionCase):
    """Who is at the topic, beside it."""

    def test_followed(self) -> None:
        """On the same connection, as who one is there, from its beginning; once."""
        one = self.subscription(
            params={"roomId": "a"}, cursor="7", credentials="mine", on_gone="raise"
        )
        people = one.presence
        self.assertIs(one.presence, people)
        topic, roster = self.begun
        self.assertFalse(topic.presence)
        self.assertEqual(roster, attrs.evolve(topic, presence=True, cursor=None, on_gone="reset"))
        self.assertEqual(set(self.driver.subscriptions), {1, 2})

    def test_closed_with_it(self) -> None:
        """It ends with its topic, and is left before that."""
        one = self.subscription()
        self.assertIsNotNone(one.presence)
        self.close(one)
        self.assertEqual(self.connection.told, [("left", 2), ("left", 1)])

    def test_too_late(self) -> None:
        """Of a topic that has ended nothing is begun: nobody would end it."""
        closed, refused = self.subscription(), self.subscription()
        for one in (closed, refused):
            one.start()
        self.close(closed)
        self.said(Stop(Gone("replay-too-old", "4"), 2))
        self.assertRaises(SubscriptionClosed, lambda: closed.presence)
        self.assertRaises(Gone, lambda: refused.presence)
        self.assertEqual(len(self.begun), 2)

    def test_not_here(self) -> None:
        """Not where the connection is of the subscription alone, nor of a roster itself."""
        for one in (self.subscription(own=True), self.subscription(presence=True)):
            self.assertRaises(TransportNotEnabled, lambda one=one: one.presence)
        self.assertEqual(self.begun, [])


class MuxTests(SynchronousTestCase):
    """A connection for many topics."""

    def setUp(self) -> None:
        self.driver = ClosableDriver()
        self.connection = SharedConnection.of(None, Policy(), lambda: 0.5)
        self.driver.connection = self.connection
        self.mux = PlainMux(self.driver, self.connection)

    def test_subscribe(self) -> None:
        """Each topic has a number of its own, and the arguments that were given."""
        one = self.mux.subscribe("chat", params={"roomId": "a"}, cursor="7", on_gone="raise")
        other = self.mux.subscribe("chat", presence=True, credentials="mine")
        self.assertNotEqual(one.started(), other.started())
        self.assertEqual(
            one._options, SubscriptionOptions("chat", {"roomId": "a"}, "7", None, "raise")
        )
        self.assertEqual(
            other._options,
            SubscriptionOptions("chat", None, None, "mine", "reset", presence=True),
        )

    def test_close(self) -> None:
        """All topics end with it, and nothing can begin on it any more."""
        one = self.mux.subscribe("chat")
        one.start()
        self.successResultOf(ensureDeferred(self.mux.close()))
        self.assertEqual((one.state, self.driver.closed), (State.CLOSED, 1))
        self.assertEqual(self.driver.subscriptions, {})
        self.assertRaises(SubscriptionClosed, self.mux.subscribe("news").start)

    def test_one_leaves(self) -> None:
        """The others stay."""
        one, other = self.mux.subscribe("chat"), self.mux.subscribe("news")
        for each in (one, other):
            each.start()
        self.successResultOf(ensureDeferred(one.close()))
        self.assertEqual(one.state, State.CLOSED)
        self.assertNotEqual(other.state, State.CLOSED)
        self.assertEqual(self.driver.closed, 0)
