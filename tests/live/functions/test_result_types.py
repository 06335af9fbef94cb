"""What `tako types` reads of functions, and writes as TypeScript."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, TypedDict

import attrs
from msgspec import Meta, Struct
from pydantic import BaseModel
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.codecs.generate_typescript import typescript_functions
from takotwist.codecs.type_shapes import Names
from takotwist.errors import DefinitionError
from takotwist.live import BroadcastChannel, ClientEnd, function
from takotwist.live.functions.result_types import function_types


class Note(Struct, rename="camel"):
    some_text: str


@dataclass
class Member:
    room: BroadcastChannel[Note]
    others: list[str]


class Joined(TypedDict, total=False):
    members: list[Member]
    pipe: ClientEnd[Callable[[Note], int], str] | None


class Tree(Struct):
    children: list[Tree]


@function
async def on_join(room: str, limit: int = 10) -> Joined:
    """Enter a */ room.

    More about it.
    """
    raise NotImplementedError


@function
def on_later(*, default: Note) -> Deferred[Tree]:
    raise NotImplementedError


@function
async def on_anything(value):  # type: ignore[no-untyped-def]
    raise NotImplementedError


class Booked(Struct, rename="camel", tag="booked", tag_field="kind"):
    held_at: Annotated[datetime, Meta(tz=True)]
    seals: list[bytes] = []


@dataclass
class Span:
    day: date
    begins: datetime = datetime(2026, 1, 1, tzinfo=UTC)


@attrs.define
class Lease:
    until: datetime


class Visit(BaseModel):
    at: datetime
    photo: bytes


class Bookings(TypedDict):
    all: list[Booked | None]
    spans: dict[str, Span]
    lease: Lease
    pipe: ClientEnd[Callable[[datetime], bytes], Span]


@function
async def on_book(when: datetime, visit: Visit, file: bytes | None = None) -> Bookings:
    raise NotImplementedError


def written(*functions: Any) -> str:
    """The module's text."""
    return "\n".join(typescript_functions(function_types(functions), Names()))


class ResultTypesTests(SynchronousTestCase):
    """Annotations, and what becomes of them."""

    def test_live_objects(self) -> None:
        """Live objects stand where the result has them, with the types of their messages."""
        text = written(on_join)
        self.assertIn(
            'import type { BroadcastChannel, Channel, Named } from "takotwist/live";', text
        )
        self.assertIn("export type OnJoinMessage = {\n  readonly someText: string;\n};", text)
        self.assertIn("readonly room: BroadcastChannel<OnJoinMessage>;", text)
        self.assertIn("readonly pipe?: Channel<OnJoinToServer, OnJoinToClient> | null;", text)
        self.assertIn("OnJoinToServer = (message: OnJoinToServerMessage) => number;", text)
        self.assertIn("OnJoinToClient = (message: string) => unknown;", text)
        self.assertIn("readonly members?: readonly OnJoinResultMember[];", text)

    def test_arguments(self) -> None:
        """Arguments are taken by position and by name; what has a default may be left out."""
        text = written(on_join, on_later)
        self.assertIn("  /** Enter a * / room. */\n", text)
        self.assertIn(
            "onJoin: ((room: string, limit?: number) => OnJoinResult)"
            " & Named<{ readonly room: string; readonly limit?: number }>;",
            text,
        )
        self.assertIn(
            "onLater: ((...args: never) => OnLaterResult)"
            " & Named<{ readonly default: OnLaterDefault }>;",
            text,
        )

    def test_recursive(self) -> None:
        """A type that refers to itself does so by its name."""
        self.assertIn("readonly children: readonly OnLaterResult", written(on_later))

    def test_dates_and_bytes(self) -> None:
        """They are what a page has for them, wherever they stand, as the server carries them."""
        text = written(on_book)
        self.assertIn(
            "onBook: ((when: Date, visit: OnBookVisit, file?: Uint8Array | null) =>", text
        )
        self.assertIn(
            "export type OnBookVisit = {\n  readonly at: Date;\n  readonly photo: Uint8Array;\n};",
            text,
        )
        self.assertIn('readonly kind: "booked";\n  readonly heldAt: Date;', text)
        self.assertIn("readonly seals?: readonly Uint8Array[];", text)
        self.assertIn("readonly begins?: Date;", text)
        self.assertIn("readonly until: Date;", text)
        self.assertIn("readonly day: string;", text)
        self.assertIn("ToServer = (message: Date) => Uint8Array;", text)
        self.assertIn("ToClient = (message: OnBookToClientMessage) => unknown;", text)

    def test_undeclared(self) -> None:
        """What nobody has said is any as a result, and unknown as an argument."""
        self.assertIn("((value: unknown) => any)", written(on_anything))

    def test_none(self) -> None:
        """Without functions nothing is written."""
        self.assertEqual(written(), "")

    def test_unusable(self) -> None:
        """A result that JSON cannot carry is an error that names the function."""

        class Odd:
            """No data."""

        async def on_odd():  # type: ignore[no-untyped-def]
            raise NotImplementedError

        on_odd.__annotations__["return"] = list[Odd]
        with self.assertRaisesRegex(DefinitionError, "the result of 'onOdd' has no type in JSON"):
            written(function(on_odd))
