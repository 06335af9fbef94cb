"""Channels whose app gives the state of a topic, through a whole server in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Reject, State, StateRequest, define_channel
from takotwist.flow.channel_states import KEPT_SECONDS
from takotwist.server.config import Config
from takotwist.server.config.limits import Limits
from takotwist.testing.memory_socket import MemorySocket
from takotwist.testing.world import World

BOARD = "/channels/board?roomId=a"


class Room(msgspec.Struct, rename="camel"):
    room_id: str


class Total(msgspec.Struct):
    total: int


@attrs.define
class App:
    """Adds up what was published, as a database would; gives what a test says instead.

    :ivar asked: each question's cursor.
    """

    world: World = attrs.field(init=False)
    total: int = 0
    asked: list[str] = attrs.field(factory=list)
    gives: Callable[[StateRequest[Room]], Any] | None = None

    def state(self, request: StateRequest[Room]) -> Any:
        self.asked.append(request.cursor)
        if self.gives is not None:
            return self.gives(request)
        return {"total": self.total, "room": request.params.room_id}


class StateCase(SynchronousTestCase):
    """A board whose state is a sum, with a window of a minute."""

    of: Any = None

    def setUp(self) -> None:
        self.app = App()
        channel = define_channel("board", params=Room, replay_window=60, forward_unhandled=True)

        @channel.state(of=self.of)
        async def state(request: StateRequest[Room]) -> Any:
            given = self.app.state(request)
            return await given if isinstance(given, Deferred) else given

        self.world = World(channel, config=Config(limits=Limits(max_body_bytes=10_000)))

    def add(self, number: int) -> str:
        self.app.total += number
        return str(self.world.publish(BOARD, "add", number)["id"])

    def stream(self, cursor: str = "newest", stale: bool = False) -> Any:
        more = "&stale=reset" if stale else ""
        return self.world.subscribe(f"{BOARD}&last_message_id={cursor}{more}")

    def socket(self, cursor: str = "newest") -> MemorySocket:
        socket = self.world.connect("/_tako/connect", subprotocol="tako.v1")
        frame = {"op": "subscribe", "ref": 1, "channel": "board", "params": {"roomId": "a"}}
        socket.say({**frame, "cursor": cursor, "stale": "reset"})
        return socket

    def sum_of(self, messages: list[Any]) -> int:
        """What a page shows that was given these."""
        total = 0
        for message in messages:
            total = (
                message["data"]["total"]
                if message["type"] == "tako.state"
                else (total + message["data"])
            )
        return total


class StateTests(StateCase):
    """A client that is new, or has missed too much."""

    def test_new(self) -> None:
        """The state comes first, as of a cursor, and then each message after it, once."""
        for number in (1, 2, 3):
            last = self.add(number)
        reader, socket = self.stream(), self.socket()
        own = self.world.connect(f"{BOARD}&last_message_id=newest", subprotocol="tako.v1")
        self.add(4)
        for messages in (reader.messages, socket.messages, own.messages):
            kinds = [(one["type"], one["id"]) for one in messages]
            self.assertEqual(kinds[0], ("tako.state", last))
            self.assertEqual([kind for kind, _ in kinds], ["tako.state", "add"])
            self.assertEqual(messages[0]["data"], {"total": 6, "room": "a"})
            self.assertEqual(self.sum_of(messages), 10)
        # Nobody takes a cursor for theirs before the state is there.
        ack = next(one for one in socket.frames if one.get("op") == "ack")
        self.assertEqual((ack["cursor"], own.frames[0]["cursor"]), ("newest", "newest"))
        self.assertEqual(socket.messages[0]["params"], {"roomId": "a"})

    def test_not_asked_for(self) -> None:
        """Who comes with a cursor, or wants what follows, or all that is kept, has that."""
        first = self.add(1)
        self.add(2)
        for cursor, expected in (("", []), ("0", [1, 2]), (first, [2])):
            self.assertEqual([one["data"] for one in self.stream(cursor).messages], expected)
        self.assertEqual(self.app.asked, [])

    def test_too_old(self) -> None:
        """Who has missed too much is told so, and given the state, without a line of its own."""
        old = self.add(1)
        self.add(2)
        self.world.advance(120)
        last = self.add(3)
        self.assertEqual(self.stream(old).code, "replay-too-old")
        reader, socket = self.stream(old, stale=True), self.socket(old)
        self.assertEqual(reader.events[0].name, "tako.reset")
        reset = next(one for one in socket.frames if one.get("op") == "reset")
        self.assertEqual((reset["reason"], reset["cursor"]), ("replay-too-old", "newest"))
        self.add(4)
        for messages in (reader.messages, socket.messages):
            self.assertEqual((messages[0]["type"], messages[0]["id"]), ("tako.state", last))
            self.assertEqual(self.sum_of(messages), 10)

    def test_shared(self) -> None:
        """For a second all are given what the first was, and what came since; then it is asked
        anew, and the sum is right for each of them."""
        readers = []
        for number in range(8):
            self.add(number)
            readers.append(self.stream())
            self.world.advance(0.25)
        self.assertEqual(len(self.app.asked), 2)
        for reader in readers:
            self.assertEqual(self.sum_of(reader.messages), 28)

    def test_asked_once(self) -> None:
        """However many come while the app thinks, it is asked once, and what is published
        meanwhile is not lost."""
        answer: Deferred[Any] = Deferred()
        self.app.gives = lambda request: answer
        self.add(1)
        readers = [self.stream() for _ in range(30)]
        self.app.total += 5
        self.world.publish(BOARD, "add", 5)
        answer.callback(State({"total": 1}, self.app.asked[0]))
        self.assertEqual(len(self.app.asked), 1)
        for reader in readers:
            self.assertEqual(self.sum_of(reader.messages), 6)

    def test_own_cursor(self) -> None:
        """An app that knows as of which message its rows are says so, and nothing is counted
        twice."""
        first = self.add(1)
        self.add(2)
        self.app.gives = lambda request: State({"total": 1}, first)
        self.assertEqual(self.sum_of(self.stream().messages), 3)

    def test_other_topics(self) -> None:
        """Each topic has its own."""
        self.add(1)
        other = self.world.subscribe("/channels/board?roomId=b&last_message_id=newest")
        self.assertEqual(other.messages[0]["data"]["room"], "b")
        self.assertEqual(self.stream().messages[0]["data"]["room"], "a")
        self.assertEqual(len(self.app.asked), 2)

    def test_bounded(self) -> None:
        """States of many topics are not all kept."""
        for number in range(600):
            self.world.subscribe(f"/channels/board?roomId=r{number}&last_message_id=newest")
        states = self.world.parts.sessions.services.states
        self.assertLessEqual(len(states), 256)


class TroubleTests(StateCase):
    """A function that fails, is slow, or gives what cannot be used."""

    of = Total

    def unavailable(self, reader: Any = None) -> None:
        reader = reader or self.stream()
        self.assertEqual((reader.status, reader.code), (503, "auth-unavailable"))

    def test_fails(self) -> None:
        """Clients are told to come again; the app is not asked by each of them, and is asked
        again a second later."""

        def fails(request: StateRequest[Room]) -> Any:
            raise RuntimeError("the database is away")

        self.app.gives = fails
        self.add(1)
        for _ in range(40):
            self.unavailable()
        self.assertEqual(len(self.app.asked), 1)
        live = self.stream("")
        self.add(2)
        self.assertEqual([one["data"] for one in live.messages], [2])
        self.world.advance(KEPT_SECONDS)
        self.app.gives = None
        self.assertEqual(self.sum_of(self.stream().messages), 3)

    def test_slow(self) -> None:
        """After the deadline of every call of the app it counts as failed, for all who wait."""
        self.app.gives = lambda request: Deferred()
        readers = [self.stream() for _ in range(5)]
        self.world.advance(4)
        self.assertEqual([one.received for one in readers], [b""] * 5)
        self.world.advance(2)
        for reader in readers:
            self.unavailable(reader)
        self.assertEqual(len(self.app.asked), 1)

    def test_left_meanwhile(self) -> None:
        """Who goes while the app thinks is given nothing, and leaves nothing."""
        answer: Deferred[Any] = Deferred()
        self.app.gives = lambda request: answer
        reader, socket = self.stream(), self.socket()
        reader.leave()
        socket.leave()
        answer.callback({"total": 1})
        self.assertEqual(self.world.parts.metrics.subscriptions, 0)

    def test_bad_cursor(self) -> None:
        """A cursor that was never given out, or is none, makes no state."""
        last = self.add(1)
        for cursor in ("x", "-1", "0", str(int(last) + 10_000)):
            self.app.gives = lambda request, cursor=cursor: State({"total": 1}, cursor)
            self.unavailable()
            self.world.advance(KEPT_SECONDS)

    def test_old_cursor(self) -> None:
        """A state as of what the log reaches no more is asked for once again, and is none if it
        is as old then."""
        old = self.add(1)
        self.add(2)
        self.world.advance(120)
        self.add(3)
        self.app.gives = lambda request: State({"total": 1}, old)
        self.unavailable()
        self.unavailable()
        self.assertEqual(len(self.app.asked), 2)

    def test_old_in_memory(self) -> None:
        """One that was remembered and has become too old is asked for anew."""
        answers = [self.add(1)]
        self.app.gives = lambda request: State({"total": 1}, answers[0])
        self.assertEqual(self.sum_of(self.stream().messages), 1)
        self.world.parts.follower.tails.clear()
        self.add(1)
        now_us = int(self.world.clock.seconds() * 1e6) + 61_000_000
        self.world.parts.log.sweep(now_us, ())
        self.world.parts.follower.tails.clear()
        self.app.gives = None
        self.app.total = 7
        self.assertEqual(self.sum_of(self.stream().messages), 7)

    def test_no_state(self) -> None:
        """What is not of the declared type, too large, or nothing that JSON carries."""
        for given in (
            {"total": "1"},
            {},
            None,
            {"total": 1, "x": "y" * 20_000},
            {"total": object()},
        ):
            self.app.gives = lambda request, given=given: given
            self.unavailable()
            self.world.advance(KEPT_SECONDS)

    def test_rejects(self) -> None:
        """The function may say that there is none, and why."""

        def rejects(request: StateRequest[Room]) -> Any:
            raise Reject("There is no such room.")

        self.app.gives = rejects
        reader = self.stream()
        self.assertEqual((reader.status, reader.code), (403, "verify-rejected"))
        self.assertIn("no such room", reader.json["error"])
