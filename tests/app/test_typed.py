"""Params as their class takes them, and payloads whose class says the message type."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct
from twisted.trial.unittest import SynchronousTestCase

from takotwist import BoundChannel, Channel, Context, Published, define_channel
from takotwist.core.topic import Draft
from takotwist.errors import BodyInvalid, DefinitionError, ParamsInvalid


class Room(Struct, rename="camel"):
    room_id: str
    limit: int = 10


class Msg(Struct):
    text: str


class Loud(Msg):
    pass


@dataclass
class Left:
    by: str


class Recording:
    """Publishes to a list."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []

    def publish_now(
        self, channel: str, params: Mapping[str, Any], drafts: Sequence[Draft], key: str | None
    ) -> list[Published]:
        self.sent += [(draft.type, draft.data) for draft in drafts]
        return [Published("1", channel, draft.type, None) for draft in drafts]

    async def publish_soon(self, *request: Any) -> list[Published]:
        return self.publish_now(*request)


class TestParams(SynchronousTestCase):
    def test_as_the_class_takes_them(self) -> None:
        """By name, in order, or as a value; all the same topic."""
        chat = define_channel("chat", params=Room)
        for bound in (
            chat(room_id="a", limit=5),
            chat("a", 5),
            chat("a", limit=5),
            chat(Room("a", 5)),
        ):
            self.assertEqual(bound.params, {"roomId": "a", "limit": 5})

    def test_by_their_names_on_the_wire(self) -> None:
        """What is known only at run time is bound too."""
        chat: Any = define_channel("chat", params=Room)
        self.assertEqual(chat({"roomId": "a"}).params, {"roomId": "a", "limit": 10})
        self.assertEqual(chat(roomId="a").params, {"roomId": "a", "limit": 10})

    def test_none(self) -> None:
        """A param that is None was not given: it has its default, or is missing by its name."""
        chat: Any = define_channel("chat", params=Room)
        self.assertEqual(chat(room_id="a", limit=None).params, {"roomId": "a", "limit": 10})
        for given in ({"room_id": None}, {"room_id": None, "limit": 1}):
            missing = self.assertRaises(ParamsInvalid, chat, **given)
            self.assertIn("roomId", missing.sentence)

    def test_wrong(self) -> None:
        """What the class does not take is refused as params."""
        chat: Any = define_channel("chat", params=Room)
        for arguments in (("a", 5, 6), (5,), ("a", "ten")):
            self.assertRaises(ParamsInvalid, chat, *arguments)
        untyped: Any = define_channel("news")
        wrong = self.assertRaises(ParamsInvalid, untyped, "a")
        self.assertIn("named values", wrong.sentence)

    def test_as_an_annotation(self) -> None:
        """The types can be written at run time, with as much as one wants to say."""
        for written in (Channel[Room], Channel[Room, ..., Msg], BoundChannel[Msg]):
            self.assertIsNotNone(written)


class TestMessages(SynchronousTestCase):
    def setUp(self) -> None:
        self.recording = Recording()
        self.chat = define_channel("chat", messages={"msg": Msg}).message("left", Left)
        self.chat.bind(self.recording)

    def test_payload_alone(self) -> None:
        """Its class says the message type; so does that of a subclass."""
        self.chat().publish_sync(Msg("a"))
        asyncio.run(self.chat().publish(Left("ada")))
        self.chat().publish_many_sync([Loud("b"), ("msg", Msg("c"))])
        self.assertEqual(
            self.recording.sent,
            [
                ("msg", b'{"text":"a"}'),
                ("left", b'{"by":"ada"}'),
                ("msg", b'{"text":"b"}'),
                ("msg", b'{"text":"c"}'),
            ],
        )

    def test_type_and_data(self) -> None:
        """As it always was; data may be None."""
        anything = define_channel("any")
        anything.bind(self.recording)
        anything().publish_sync("msg", None)
        self.assertEqual(self.recording.sent, [("msg", b"null")])
        for data in ({"a": [{1}]}, {"a": [b"x"]}, {"a": ["\ud83d"]}, {"a": [float("nan")]}):
            wrong = self.assertRaises(BodyInvalid, anything().publish_sync, "msg", data)
            self.assertIn("'msg'.a[0]: ", wrong.sentence)

    def test_class_that_says_no_type(self) -> None:
        """A payload of no type, or of several, is refused with the choice."""
        chat: Any = self.chat()
        wrong = self.assertRaises(BodyInvalid, chat.publish_sync, Room("a"))
        self.assertIn("Msg of 'msg', Left of 'left'", wrong.sentence)
        two = define_channel("two", messages={"a": Msg, "b": Msg})
        both = self.assertRaises(BodyInvalid, two().publish_sync, Msg("a"))
        self.assertIn("a, b: say which", both.sentence)
        none: Any = define_channel("none")()
        self.assertIn("say the type", self.assertRaises(BodyInvalid, none.publish_sync, 5).sentence)

    def test_declared_one_by_one(self) -> None:
        """Is the same definition, and has the same errors."""
        whole = define_channel("chat", messages={"msg": Msg, "left": Left})
        self.assertEqual(list(self.chat.definition.messages), list(whole.definition.messages))
        for name in ("msg", "tako.x", ""):
            self.assertRaises(DefinitionError, self.chat.message, name, Left)
        self.chat.on("msg")(lambda data, context: data)
        late = self.assertRaises(DefinitionError, self.chat.message, "late", Room)
        self.assertIn("before the first handler", str(late))

    def test_handler_of_a_class(self) -> None:
        """`on` takes the class of a payload in place of its type."""

        @self.chat.on(Left)
        def left(data: Left, context: Context[Any]) -> Left:
            return data

        self.assertEqual(self.chat.handlers, {"left": left})
        self.assertRaises(DefinitionError, self.chat.on, Room)
        self.assertRaises(DefinitionError, self.chat.on(Msg), lambda data: data)
