"""Text of a query becomes typed params, or an error that names the param.

Schemas that say no in one sentence which names the place.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.params import Params, PayloadSchema, Schema, path_of
from takotwist.core.topic import Topic
from takotwist.errors import BodyInvalid, DefinitionError, ParamsInvalid


def params(required: tuple[str, ...] = (), **properties: Any) -> Params:
    """A schema of these properties."""
    return Params.of({"type": "object", "properties": properties, "required": list(required)})


class TestCoercion(SynchronousTestCase):
    """What a query's text stands for is said by the schema."""

    def test_scalars(self) -> None:
        """Each type reads its own text."""
        schema = params(
            i={"type": "integer"},
            n={"type": "number"},
            b={"type": "boolean"},
            s={"type": "string"},
            z={"type": "null"},
        )
        bound = schema.bind_query(
            {"i": ["-7"], "n": ["2.5"], "b": ["TRUE"], "s": ["1"], "z": ["null"]}
        )
        self.assertEqual(bound, {"i": -7, "n": 2.5, "b": True, "s": "1", "z": None})

    def test_spellings_of_a_number(self) -> None:
        """10, 010, +10, 10.0 and 1e1 are one value, and so one topic."""
        schema = params(n={"type": "number"})
        keys = {
            Topic.of("c", schema.bind_query({"n": [text]})).key
            for text in ("10", "010", "+10", "10.0", "1e1")
        }
        self.assertEqual(keys, {"c?n=10"})

    def test_booleans(self) -> None:
        """1 and 0 are booleans where booleans are wanted."""
        schema = params(b={"type": "boolean"})
        self.assertEqual(schema.bind_query({"b": ["1"]}), {"b": True})
        self.assertEqual(schema.bind_query({"b": ["0"]}), {"b": False})
        self.assertRaises(ParamsInvalid, schema.bind_query, {"b": ["yes"]})

    def test_no_numbers_that_are_none(self) -> None:
        """NaN, infinities and over-long digits stay text, which is no number."""
        schema = params(n={"type": "number"}, i={"type": "integer"})
        for text in ("nan", "inf", "1e999", "", "0x10", "1_000", "٣"):
            self.assertRaises(ParamsInvalid, schema.bind_query, {"n": [text]})
            self.assertRaises(ParamsInvalid, schema.bind_query, {"i": [text]})

    def test_arrays(self) -> None:
        """Repeated keys are an array, one key is an array of one."""
        schema = params(t={"type": "array", "items": {"type": "integer"}})
        self.assertEqual(schema.bind_query({"t": ["1", "2"]}), {"t": [1, 2]})
        self.assertEqual(schema.bind_query({"t": ["3"]}), {"t": [3]})

    def test_a_union_prefers_what_is_no_text(self) -> None:
        """Where a number or a text would do, digits are a number."""
        schema = params(u={"anyOf": [{"type": "string"}, {"type": "integer"}]})
        self.assertEqual(schema.bind_query({"u": ["5"]}), {"u": 5})
        self.assertEqual(schema.bind_query({"u": ["five"]}), {"u": "five"})

    def test_enum_without_a_type(self) -> None:
        """The values of an enum say what their text is."""
        schema = params(e={"enum": [1, True, "x"]})
        self.assertEqual(schema.bind_query({"e": ["x"]}), {"e": "x"})
        self.assertEqual(schema.bind_query({"e": ["1"]}), {"e": 1})

    def test_references(self) -> None:
        """Types behind $ref are found; a $ref that leads in circles is none."""
        schema = Params.of(
            {
                "$ref": "#/$defs/P",
                "$defs": {
                    "P": {"type": "object", "properties": {"n": {"$ref": "#/$defs/N"}}},
                    "N": {"type": "integer"},
                },
            }
        )
        self.assertEqual(schema.bind_query({"n": ["4"]}), {"n": 4})

    def test_defaults(self) -> None:
        """Left out and said as its default is the same topic."""
        schema = params(limit={"type": "integer", "default": 10})
        self.assertEqual(schema.bind_query({}), schema.bind_query({"limit": ["10"]}))


class TestRefusals(SynchronousTestCase):
    """Every refusal names the param."""

    def refused(self, schema: Params, query: dict[str, list[str]]) -> str:
        """The sentence of the refusal."""
        return self.assertRaises(ParamsInvalid, schema.bind_query, query).sentence

    def test_named(self) -> None:
        """Missing, empty, of a wrong type, repeated, unknown."""
        schema = params(
            ("roomId",), roomId={"type": "string", "minLength": 1}, n={"type": "integer"}
        )
        self.assertIn("roomId", self.refused(schema, {}))
        self.assertTrue(self.refused(schema, {"roomId": [""]}).startswith("roomId: "))
        self.assertTrue(self.refused(schema, {"roomId": ["a"], "n": ["x"]}).startswith("n: "))
        self.assertIn("'roomId' is given 2 times", self.refused(schema, {"roomId": ["a", "b"]}))
        self.assertIn("'room' is no param", self.refused(schema, {"room": ["a"]}))

    def test_place_in_an_array(self) -> None:
        """Which item is wrong is said."""
        schema = params(t={"type": "array", "items": {"type": "integer"}})
        self.assertTrue(self.refused(schema, {"t": ["1", "x"]}).startswith("t[1]: "))

    def test_open_schemas_decide_themselves(self) -> None:
        """A schema that says additionalProperties takes what it says."""
        schema = Params.of({"type": "object", "additionalProperties": {"type": "string"}})
        self.assertEqual(schema.bind_query({"x": ["1"]}), {"x": "1"})

    def test_no_object(self) -> None:
        """A params schema of something else is the definition's fault."""
        self.assertRaises(DefinitionError, Params.of, {"type": "string"})
        self.assertRaises(DefinitionError, Params.of, {"type": "objct"})

    @given(st.dictionaries(st.text(), st.lists(st.text(), min_size=1), max_size=4))
    def test_anything(self, query: dict[str, list[str]]) -> None:
        """Whatever a query holds, it is bound or refused, never an error of another kind."""
        schema = params(
            a={"type": "integer"},
            b={"type": ["boolean", "null"]},
            c={"type": "array", "items": {"type": "number"}},
        )
        try:
            bound = schema.bind_query(query)
        except ParamsInvalid:
            return
        self.assertLessEqual(set(bound), {"a", "b", "c"})


class TestBind(SynchronousTestCase):
    """Params that come as JSON."""

    def test_text_is_read_as_in_a_query(self) -> None:
        """A client may send a number as text; both are one topic."""
        schema = params(n={"type": "integer"})
        self.assertEqual(schema.bind({"n": "10"}), schema.bind({"n": 10}))
        self.assertEqual(schema.bind({"n": 10.0}), {"n": 10})


class TestSchema(SynchronousTestCase):
    """Compiling and resolving."""

    def test_bad_schemas(self) -> None:
        """A schema that is none, or that leads outside itself, is the definition's error."""
        for document in ({"type": "objct"}, {"$ref": "https://example.com/x"}, {"minLength": "a"}):
            wrong = self.assertRaises(DefinitionError, Schema.of, document, "the thing")
            self.assertIn("the thing", str(wrong))

    def test_booleans(self) -> None:
        """True takes everything, false nothing."""
        self.assertEqual(list(Schema.of(True, "x").complaints({"a": 1})), [])
        self.assertEqual(len(list(Schema.of(False, "x").complaints(1))), 1)

    def test_resolve(self) -> None:
        """Local references are followed, with their escapes; circles end."""
        schema = Schema.of({"$defs": {"a/b": {"type": "string"}, "l": {"$ref": "#/$defs/l"}}}, "x")
        self.assertEqual(schema.resolve({"$ref": "#/$defs/a~1b"}), {"type": "string"})
        self.assertEqual(schema.resolve({"$ref": "#/$defs/l"}), {})
        self.assertEqual(schema.resolve(True), {})

    def test_path(self) -> None:
        """Places are written as people write them."""
        self.assertEqual(path_of(["items", 0, "text"], "data"), "data.items[0].text")


class TestPayload(SynchronousTestCase):
    """Payloads of a message type."""

    def test_check(self) -> None:
        """What fits passes, what does not is refused with its path."""
        schema = PayloadSchema.of(
            {"properties": {"a": {"items": {"type": "integer"}}}, "type": "object"}, "m"
        )
        schema.check(b'{"a":[1,2]}')
        refusal = self.assertRaises(BodyInvalid, schema.check, b'{"a":[1,"x"]}')
        self.assertTrue(refusal.sentence.startswith("data.a[1]: "), refusal.sentence)
