"""Defining a channel: what may be declared, and the errors that name what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Annotated, Any, TypedDict
from uuid import UUID

import msgspec
import pydantic
from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.core.channel import Credentials, Lifecycle
from takotwist.errors import BodyInvalid, DefinitionError, ParamsInvalid


class Room(msgspec.Struct, rename="camel"):
    room_id: Annotated[str, msgspec.Meta(min_length=1)]
    count: int = 10


@dataclass
class DataRoom:
    room_id: str


class DictRoom(TypedDict):
    room_id: str


class Kind(Enum):
    SMALL = "small"


class ModelRoom(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    room_id: UUID = pydantic.Field(alias="roomId")
    kind: Kind = Kind.SMALL

    @pydantic.field_validator("room_id")
    @classmethod
    def not_nil(cls, value: UUID) -> UUID:
        if not value.int:
            raise ValueError("the nil id is no room")
        return value


class Inner(msgspec.Struct):
    n: int


class Outer(msgspec.Struct):
    items: list[Inner]


NIL = "00000000-0000-0000-0000-000000000000"
ONE = "00000000-0000-0000-0000-000000000001"


class TestParams(SynchronousTestCase):
    def test_struct(self) -> None:
        """A Struct's params are bound by Python names or by names on the wire."""
        chat = define_channel("chat", params=Room)
        for bound in (
            chat(room_id="a"),
            chat(roomId="a"),
            chat(Room("a")),
            chat({"roomId": "a"}),
            chat(room_id="a", count=10),
        ):
            self.assertEqual(bound.topic.key, "chat?count=10&roomId=a")
        self.assertEqual(chat.read_params({"roomId": "a"}), Room("a"))

    def test_dataclass_and_typed_dict(self) -> None:
        """Dataclasses and TypedDicts do as well."""
        for kind, value in ((DataRoom, DataRoom("a")), (DictRoom, {"room_id": "a"})):
            chat = define_channel("chat", params=kind)
            self.assertEqual(chat(room_id="a").topic.key, "chat?room_id=a")
            self.assertEqual(chat.read_params({"room_id": "a"}), value)

    def test_pydantic(self) -> None:
        """A strict pydantic model reads its own types from text, by alias."""
        chat = define_channel("chat", params=ModelRoom)
        bound = chat(room_id=UUID(ONE), kind=Kind.SMALL)
        self.assertEqual(bound.topic.key, f"chat?kind=small&roomId={ONE}")
        self.assertEqual(bound.params, chat(ModelRoom(roomId=UUID(ONE))).params)
        self.assertEqual(chat.read_params(bound.params).room_id, UUID(ONE))

    def test_pydantic_validator(self) -> None:
        """What only the model's own validator refuses is an error that names the param."""
        chat = define_channel("chat", params=ModelRoom)
        refused = self.assertRaises(ParamsInvalid, chat.read_params, {"roomId": NIL})
        self.assertEqual(refused.sentence, "roomId: Value error, the nil id is no room")

    def test_json_schema(self) -> None:
        """A JSON Schema gives mappings."""
        chat = define_channel(
            "chat", params={"type": "object", "properties": {"n": {"type": "integer"}}}
        )
        self.assertEqual(chat(n="7").params, {"n": 7})
        self.assertEqual(chat.read_params({"n": 7}), {"n": 7})

    def test_none(self) -> None:
        """A channel without params is bound without any."""
        chat = define_channel("chat")
        self.assertEqual(chat().topic.key, "chat")
        self.assertRaises(ParamsInvalid, chat, room="a")

    def test_wrong(self) -> None:
        """Binding names the param that is wrong."""
        chat = define_channel("chat", params=Room)
        for given, part in (
            ({"room_id": ""}, "roomId"),
            ({"room_id": "a", "rom": "b"}, "'rom'"),
            ({"room_id": "a", "roomId": "a"}, "'roomId' is given twice"),
            ({"room_id": object()}, "object"),
            ({"room_id": "a", "count": float("nan")}, "NaN"),
        ):
            self.assertIn(part, self.assertRaises(ParamsInvalid, chat, **given).sentence)

    def test_partition(self) -> None:
        """A channel may say which params make its topic, by either name."""
        for said in ("room_id", ("roomId",)):
            chat = define_channel("chat", params=Room, partition_by=said)
            self.assertEqual(chat(room_id="a").topic.key, "chat?roomId=a")
            self.assertEqual(chat(room_id="a").params["count"], 10)


class TestMessages(SynchronousTestCase):
    def test_written_and_read(self) -> None:
        """Typed values and what JSON would carry are the same message."""
        chat = define_channel("chat", messages={"msg": Outer, "model": ModelRoom, "any": Any})
        for data in (Outer([Inner(1)]), {"items": [{"n": 1}]}):
            self.assertEqual(chat.write_data("msg", data), b'{"items":[{"n":1}]}')
        self.assertEqual(chat.read_data("msg", b'{"items":[{"n":1}]}'), Outer([Inner(1)]))
        self.assertEqual(
            msgspec.json.decode(chat.write_data("model", ModelRoom(roomId=UUID(ONE)))),
            {"roomId": ONE, "kind": "small"},
        )
        self.assertEqual(chat.read_data("any", b"[null]"), [None])

    def test_refused(self) -> None:
        """A payload that does not fit is refused with its path, whatever made it."""
        chat = define_channel("chat", messages={"msg": Outer, "model": ModelRoom})
        write, read = chat.write_data, chat.read_data
        for refused, part in (
            (
                self.assertRaises(BodyInvalid, write, "msg", {"items": [{"n": "x"}]}),
                "data.items[0].n",
            ),
            (self.assertRaises(BodyInvalid, write, "msg", Outer([Inner("x")])), "data.items[0].n"),  # type: ignore[arg-type]
            (self.assertRaises(BodyInvalid, read, "msg", b'{"items":[{}]}'), "data.items[0]"),
            (
                self.assertRaises(BodyInvalid, read, "msg", b'{"items":[{"n":1.0}]}'),
                "data.items[0].n",
            ),
            (
                self.assertRaises(BodyInvalid, read, "model", b'{"roomId":"%s"}' % NIL.encode()),
                "data.roomId",
            ),
            (self.assertRaises(BodyInvalid, write, "other", 1), "'other'"),
        ):
            self.assertIn(part, refused.sentence)

    def test_what_json_has_no_form_for(self) -> None:
        """NaN, Infinity and foreign objects are refused, however deep they lie."""
        chat = define_channel("chat")
        for data in (float("nan"), {"a": [None, float("inf")]}, object(), {"a": object()}):
            self.assertRaises(BodyInvalid, chat.write_data, "msg", data)
        self.assertEqual(chat.write_data("msg", [None, "null"]), b'[null,"null"]')


class TestLifecycle(SynchronousTestCase):
    def test_units(self) -> None:
        """Lengths of time are seconds or timedeltas; the definition has milliseconds."""
        chat = define_channel(
            "chat",
            replay_window=1.5,
            inactivity_ttl=timedelta(hours=1),
            keepalive_interval=10,
            max_connection_lifetime=0,
            replay_max_messages=5,
            replay_max_bytes=2048,
        )
        self.assertEqual(
            chat.definition.lifecycle,
            Lifecycle(
                replay_window_ms=1500,
                inactivity_ttl_ms=3_600_000,
                keepalive_interval_ms=10_000,
                max_connection_lifetime_ms=0,
                replay_max_messages=5,
                replay_max_bytes=2048,
            ),
        )

    def test_wrong(self) -> None:
        """A length that cannot be is refused, with the argument and what is allowed."""
        for name, value in (
            ("replay_window", "10m"),
            ("replay_window", -1),
            ("inactivity_ttl", float("inf")),
            ("keepalive_interval", 0.5),
            ("max_connection_lifetime", True),
            ("replay_max_messages", 0),
            ("replay_max_bytes", 2.5),
        ):
            refused = self.assertRaises(DefinitionError, define_channel, "chat", **{name: value})
            self.assertIn(name, refused.reason)


class TestDefinitionErrors(SynchronousTestCase):
    def test_named(self) -> None:
        """Each mistake names the argument, param or type."""
        for arguments, part in (
            ({"name": "a/b"}, "'a/b'"),
            ({"params": int}, "type object"),
            ({"params": {"type": "nonsense"}}, "params"),
            ({"params": object()}, "params cannot be made into a JSON Schema"),
            ({"params": {"type": "object", "properties": {"stale": {}}}}, "'stale' is reserved"),
            ({"messages": {"tako.x": int}}, "'tako.x'"),
            ({"messages": {"": int}}, "1 to 128"),
            ({"messages": {"msg": complex}}, "message type 'msg'"),
            ({"partition_by": "room"}, "'room'"),
        ):
            given: dict[str, Any] = {"name": "chat", **arguments}
            self.assertIn(part, self.assertRaises(DefinitionError, define_channel, **given).reason)

    def test_decorators(self) -> None:
        """A second verify, a second handler and a handler of an unknown type are refused."""
        chat = define_channel("chat", messages={"msg": int})
        chat.verify(lambda request: True)
        chat.on("msg")(lambda data, context: data)
        for again in (
            lambda: chat.verify(lambda request: True),
            lambda: chat.on("msg"),
            lambda: chat.on("mgs"),
            lambda: define_channel("a").verify(header="two words"),
            lambda: define_channel("a").verify(cookie="a;b"),
        ):
            self.assertRaises(DefinitionError, again)


class TestDefinition(SynchronousTestCase):
    def test_plain(self) -> None:
        """Without decorators a channel is public and for SSE only."""
        definition = define_channel("chat").definition
        self.assertFalse(definition.verified)
        self.assertIsNone(definition.credentials)
        self.assertFalse(definition.bidirectional)

    def test_credentials(self) -> None:
        """Where credentials are read: the authorization header unless something is named."""
        for given, credentials in (
            ({}, Credentials(header_name="authorization")),
            ({"header": "X-Api-Key"}, Credentials(header_name="x-api-key")),
            ({"cookie": "sid"}, Credentials(cookie_name="sid")),
            ({"header": "a", "cookie": "b"}, Credentials(header_name="a", cookie_name="b")),
            ({"query_token": True}, Credentials(header_name="authorization", query_token=True)),
            ({"header": None}, None),
        ):
            chat = define_channel("chat")
            chat.verify(**given)(lambda request: True)  # type: ignore[call-overload]
            self.assertEqual(chat.definition.credentials, credentials)
            self.assertTrue(chat.definition.verified)

    def test_handlers(self) -> None:
        """A handler makes it a WebSocket channel; the function itself stays as it was."""
        chat = define_channel("chat")

        @chat.on("msg")
        def double(data: int, context: Any) -> int:
            return data * 2

        self.assertEqual(double(2, None), 4)
        self.assertEqual(chat.definition.handlers, frozenset({"msg"}))
        self.assertTrue(chat.definition.bidirectional)

    def test_functions_that_cannot_be_called(self) -> None:
        """A function of too few or too many arguments is refused where it is defined."""

        def nothing() -> bool:
            return True

        class Verifier:
            def __call__(self, request: object) -> bool:
                return True

            def verify(self, request: object, rest: int = 0) -> bool:
                return True

        chat = define_channel("chat")
        refused = self.assertRaises(DefinitionError, chat.verify, nothing)
        self.assertEqual(
            str(refused), "channel 'chat': its verify is called with (request) and takes ()"
        )
        refused = self.assertRaises(DefinitionError, chat.on("msg"), lambda data: data)
        self.assertIn("its handler for 'msg' is called with (data, context)", str(refused))
        for fits in (bool, Verifier(), Verifier().verify, lambda *any: True):
            define_channel("chat").verify(fits)

    def test_place(self) -> None:
        """A channel knows the file and line where it was defined."""
        self.assertRegex(define_channel("chat").place, r"test_define\.py:\d+$")
        self.assertIn("'chat'", repr(define_channel("chat")))
