"""Calls of functions: what they return, how often they may be called, what is counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypedDict
from uuid import UUID

from msgspec import Struct
from pydantic import BaseModel
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Grant
from takotwist.live import Abort, BroadcastChannel, Channel, ClientEnd, Function, function
from takotwist.server.config import Config
from takotwist.server.config.limits import Live
from takotwist.testing.world import World
from tests.live.page import Page


class Score(Struct, rename="camel"):
    total_points: int
    at: datetime | None = None


class Game(TypedDict):
    channel: ClientEnd[str, str]
    scores: dict[str, Score]


@dataclass
class Room:
    title: str
    members: BroadcastChannel[str]


class Profile(BaseModel):
    name: str


class Ticket(Struct):
    id: UUID
    owner: Profile


class Functions(SynchronousTestCase):
    """A world with functions."""

    config = Live()

    def serve(self, *functions: Function[..., Any]) -> Page:
        """A page that may call these."""
        self.world = World(config=Config(live=self.config), functions=functions)
        return Page(self.world)


def returning(kind: Any, make: Callable[[], Any]) -> Function[..., Any]:
    """A function with a return annotation."""

    async def on_get() -> Any:
        return make()

    on_get.__annotations__["return"] = kind
    return function(on_get)


class ReturnedTests(Functions):
    """Results against their annotations."""

    def good(self, kind: Any, make: Callable[[], Any], result: Any) -> None:
        """It fits, and is given as it is."""
        status, body = self.serve(returning(kind, make)).call("onGet")
        self.assertEqual((status, body.get("result")), (200, result))

    def bad(self, kind: Any, make: Callable[[], Any], place: str) -> None:
        """The caller is told nothing; the log names the function and the place."""
        page = self.serve(returning(kind, make))
        with capturedLogs() as events:
            status, body = page.call("onGet")
        self.assertEqual((status, body["code"]), (500, "internal-error"))
        [line] = [text for text in map(formatEvent, events) if "annotation" in text]
        self.assertIn("function onGet", line)
        self.assertIn(place, line)
        self.assertNotIn(place, body["error"])
        # What it made is gone with it.
        self.page_objects = self.world.live.sessions.objects
        self.assertEqual(self.page_objects, 0)

    def test_plain(self) -> None:
        """Plain types, exactly."""
        self.good(int, lambda: 3, 3)
        self.good(float, lambda: 3, 3)
        self.good(list[str] | None, lambda: None, None)
        self.good(Any, lambda: "anything", "anything")
        self.good(object, lambda: ["anything"], ["anything"])
        self.bad(int, lambda: "3", "result: Expected `int`")
        self.bad(list[int], lambda: [1, "x"], "result[1]: Expected `int`")
        self.bad(None, lambda: 1, "result: Expected `null`")

    def test_records(self) -> None:
        """Structs, TypedDicts, dataclasses and models, whether as such or as mappings."""
        at = datetime(2025, 11, 21, tzinfo=UTC)
        said = {"totalPoints": 3, "at": "2025-11-21T00:00:00Z"}
        self.good(Score, lambda: Score(3, at), said)
        self.good(Score, lambda: dict(said), said)
        self.good(Profile, lambda: Profile(name="Ann"), {"name": "Ann"})
        ticket = UUID(int=7)
        self.good(
            Ticket,
            lambda: Ticket(ticket, Profile(name="Ann")),
            {"id": str(ticket), "owner": {"name": "Ann"}},
        )
        self.bad(Score, lambda: {"totalPoints": "3"}, "result.totalPoints: Expected `int`")
        self.bad(Score, lambda: Score("3"), "result.totalPoints")  # type: ignore[arg-type]
        self.bad(Profile, lambda: {"nick": "Ann"}, "name: Field required")

    def test_live_objects(self) -> None:
        """Live objects stand anywhere that says so, and nowhere else."""

        def game(score: Any) -> Any:
            return lambda: {"channel": Channel[str, str]().client, "scores": {"ann": score}}

        status, body = self.serve(returning(Game, game(Score(3)))).call("onGet")
        self.assertEqual((status, body["live"][0]["path"]), (200, ["channel"]))
        self.bad(Game, game({"totalPoints": None}), "totalPoints")
        self.bad(Game, lambda: {"channel": "x", "scores": {}}, "result.channel: Expected")
        self.bad(dict[str, str], lambda: {"a": Channel().client}, "result[...]: Expected `str`")
        self.bad(dict[str, Any], lambda: Channel().client, "result: Expected")
        self.good(Any, lambda: Channel().client, None)
        self.good(dict[str, Any], lambda: {"a": [Channel().client]}, {"a": [None]})
        self.good(ClientEnd[str, str] | None, lambda: Channel().client, None)
        self.good(
            Room,
            lambda: Room("hall", BroadcastChannel[str](key="hall")),
            {"title": "hall", "members": None},
        )
        self.bad(ClientEnd, lambda: BroadcastChannel(key="k"), "result: Expected `ClientEnd`")

    def test_cannot_be_checked(self) -> None:
        """A live object or something else: no library tells them apart, so it is not checked."""
        self.good(ClientEnd[str, str] | str, lambda: "neither", "neither")
        self.good(ClientEnd[str, str] | str, lambda: 3, 3)

    def test_plain_function(self) -> None:
        """A function that runs in a thread is checked likewise."""

        @function
        def on_get() -> int:
            return "x"  # type: ignore[return-value]

        self.assertEqual(self.serve(on_get).call("onGet")[0], 500)


class RateTests(Functions):
    """How often functions may be called."""

    config = Live(call_rate=1, call_burst=3)

    def test_by_address(self) -> None:
        """One address has its rate, whoever it says it is; another one has its own."""
        page = self.serve(function(name="onRun")(lambda: None))
        self.assertEqual([page.call("onRun")[0] for _ in range(5)], [200] * 3 + [429] * 2)
        body = {"args": []}
        json = {"Content-Type": "application/json"}
        path = "/_tako/functions/onRun"
        other = self.world.request("POST", path, json, body, address="192.0.2.2")
        self.assertEqual(other.status, 200)
        self.world.advance(1)
        self.assertEqual(page.call("onRun")[0], 200)

    def test_by_subject(self) -> None:
        """One subject has its rate, from wherever it calls."""

        @function(verify=lambda request: Grant(subject=request.header.value))
        def on_run() -> None:
            pass

        self.serve(on_run)

        def call(who: str, address: str) -> int:
            return self.world.request(
                "POST",
                "/_tako/functions/onRun",
                {"Content-Type": "application/json", "Authorization": f"Bearer {who}"},
                {"args": []},
                address=address,
            ).status

        statuses = [call("ann", f"192.0.2.{n}") for n in range(1, 6)]
        self.assertEqual(statuses, [200] * 3 + [429] * 2)
        self.assertEqual(call("bob", "192.0.2.9"), 200)


class CountedTests(Functions):
    """What the tally says of calls."""

    def test_outcomes(self) -> None:
        """Each call of a function that is defined is counted once, by what became of it."""

        @function(name="onRun")
        async def run(what: str) -> int:
            if what == "abort":
                raise Abort("no")
            if what == "fail":
                raise ValueError
            return 1

        page = self.serve(run)
        for what in ("ok", "ok", "abort", "fail"):
            with capturedLogs():
                page.call("onRun", what)
        page.call("onRun")
        page.call("onRun", 7)
        page.call("onNothing")
        calls = self.world.live.sessions.tally.calls
        self.assertEqual(
            dict(calls),
            {
                ("onRun", "ok"): 2,
                ("onRun", "aborted"): 1,
                ("onRun", "failed"): 1,
                ("onRun", "refused"): 2,
            },
        )
        self.world.live.replace({})
        self.assertEqual(dict(calls), {})


class Unknown:
    """Nothing that JSON can carry."""


class TypesTests(Functions):
    """Types of messages that cannot be."""

    def test_said_at_the_call(self) -> None:
        """A live object whose messages no JSON can carry fails the call, and is no riddle later."""

        @function
        async def on_pipe() -> Any:
            return Channel[Unknown, str]().client

        @function
        async def on_join() -> Any:
            return BroadcastChannel[Unknown](key="k")

        page = self.serve(on_pipe, on_join)
        for name in ("onPipe", "onJoin"):
            with capturedLogs() as events:
                status, body = page.call(name)
            self.assertEqual((status, body["code"]), (500, "internal-error"))
            self.assertIn("Unknown", formatEvent(events[-1]))
        self.assertEqual(self.world.live.sessions.objects, 0)


class RuleTests(Functions):
    """Where a rule of the app decides who may call."""

    def setUp(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.ran: list[str] = []

    def only_reads(self, request: Any) -> Any:
        """By the function's name and the operation."""
        self.asked.append((request.operation, request.channel))
        may = request.operation == "call" and request.channel.startswith("onRead")
        return Grant(subject="ann") if may else False

    def test_asked(self) -> None:
        """It is asked before each call, and a call that it refuses does not run; for a connection
        it is asked what it was asked for the call, so that a rule that names functions holds."""

        @function(verify=self.only_reads, header=None)
        async def on_read() -> Any:
            self.ran.append("read")
            return Channel[Any, Any]().client

        @function(verify=self.only_reads, header=None)
        async def on_write() -> None:
            self.ran.append("write")

        page = self.serve(on_read, on_write)
        status, body = page.call("onWrite")
        self.assertEqual((status, body["code"]), (403, "verify-rejected"))
        self.assertEqual(self.ran, [])
        page.connect()
        end = page.get("onRead")
        page.pump()
        page.cut()
        page.connect()
        page.pump()
        self.world.advance(0.1)
        page.pump()
        self.assertEqual((self.ran, end.opened, end.ended), (["read"], 1, []))
        self.assertEqual(self.asked, [("call", "onWrite"), ("call", "onRead"), ("call", "onRead")])
