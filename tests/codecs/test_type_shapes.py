"""Shapes of JSON Schemas: what a generated type can say, and never more."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator
from twisted.trial.unittest import SynchronousTestCase

from takotwist.codecs.type_shapes import (
    ELSEWHERE,
    NEVER,
    UNKNOWN,
    AllOf,
    Constant,
    Field,
    Many,
    Named,
    Names,
    OneOf,
    Plain,
    Record,
    Shape,
    Shapes,
    pascal,
)

STRING, NUMBER, INTEGER = Plain("string"), Plain("number"), Plain("integer")


def shape(schema: dict[str, Any]) -> Shape:
    """The shape of a schema."""
    return Shapes.of(schema).root


class ShapesTests(SynchronousTestCase):
    """One schema after the other."""

    def test_plain(self) -> None:
        """Types have their shape, without lengths, patterns and formats."""
        self.assertEqual(shape({"type": "string", "maxLength": 3, "format": "date"}), STRING)
        self.assertEqual(shape({"type": ["string", "null"]}), OneOf((STRING, Plain("null"))))

    def test_anything_and_nothing(self) -> None:
        """A schema that says nothing is anything; one that nothing fits is never."""
        self.assertEqual(shape({}), UNKNOWN)
        self.assertEqual(shape({"not": {}}), NEVER)
        self.assertEqual(shape({"type": "array", "items": False}), Many(NEVER))
        self.assertEqual(shape({"enum": []}), NEVER)

    def test_constants(self) -> None:
        """Of constants the plain ones are told; what holds others is anything."""
        self.assertEqual(shape({"const": "a"}), Constant("a"))
        self.assertEqual(
            shape({"enum": [1, "a", None]}), OneOf(tuple(map(Constant, (1, "a", None))))
        )
        self.assertEqual(shape({"enum": ["a", {"b": 1}]}), UNKNOWN)

    def test_lists(self) -> None:
        """A list holds what any of its places may hold."""
        self.assertEqual(shape({"type": "array"}), Many(UNKNOWN))
        self.assertEqual(shape({"type": "array", "items": {"type": "string"}}), Many(STRING))
        places = [{"type": "string"}, {"type": "number"}]
        self.assertEqual(
            shape({"type": "array", "prefixItems": places, "items": False}),
            Many(OneOf((STRING, NUMBER))),
        )
        self.assertEqual(shape({"type": "array", "prefixItems": places}), Many(UNKNOWN))

    def test_records(self) -> None:
        """Members with their descriptions; whether there may be others, and which."""
        described = {"type": "string", "description": "who"}
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {"a": described, "b": {"type": "integer"}},
            "required": ["a"],
        }
        fields = (Field("a", STRING, True, "who"), Field("b", INTEGER, False))
        self.assertEqual(shape(schema), Record(fields))
        more = {**schema, "additionalProperties": {"type": "number"}}
        self.assertEqual(shape(more), Record(fields, NUMBER))
        self.assertEqual(shape({"type": "object"}), Record((), UNKNOWN))
        closed = {"type": "object", "additionalProperties": False}
        self.assertEqual(shape(closed), Record(()))
        self.assertEqual(shape({**schema, "patternProperties": {}}), Record(fields, UNKNOWN))

    def test_properties_alone(self) -> None:
        """Members without a type are those of an object."""
        self.assertEqual(
            shape({"properties": {"a": {"type": "string"}}}),
            Record((Field("a", STRING, False),)),
        )

    def test_unions(self) -> None:
        """Either of several, once each; where one may be anything, so may all."""
        branches = [{"type": "string"}, {"type": "integer"}, {"type": "string", "minLength": 1}]
        for name in ("anyOf", "oneOf"):
            self.assertEqual(shape({name: branches}), OneOf((STRING, INTEGER)))
            self.assertEqual(shape({name: [*branches, {}]}), UNKNOWN)

    def test_all_of(self) -> None:
        """All that is said at once, without what says nothing."""
        self.assertEqual(shape({"allOf": [{"type": "string"}, {}]}), STRING)
        both = {"type": "object", "properties": {"a": {}}, "allOf": [{"const": 1}]}
        self.assertEqual(shape(both), AllOf((Record((Field("a", UNKNOWN, False),)), Constant(1))))

    def test_references(self) -> None:
        """What a schema refers to is named once, itself included; others are anything."""
        schema = {
            "$defs": {"a-node/1": {"type": "object", "properties": {"next": {"$ref": "#"}}}},
            "$ref": "#/$defs/a-node~11",
        }
        shapes = Shapes.of(schema)
        self.assertEqual(shapes.root, Named("ANode1"))
        self.assertEqual(shapes.named, {"ANode1": Record((Field("next", Named(""), False),))})
        self.assertEqual(shape({"$ref": "https://other.example/x"}), UNKNOWN)

    def test_names_that_read_alike(self) -> None:
        """Two parts of a schema keep their own shapes, however alike their names are."""
        schema = {
            "$defs": {"a-b": {"type": "string"}, "a.b": {"type": "integer"}},
            "anyOf": [{"$ref": "#/$defs/a-b"}, {"$ref": "#/$defs/a.b"}, {"$ref": "#/$defs/a-b"}],
        }
        shapes = Shapes.of(schema)
        self.assertEqual(shapes.root, OneOf((Named("AB"), Named("AB2"))))
        self.assertEqual(shapes.named, {"AB": STRING, "AB2": INTEGER})

    def test_recursive(self) -> None:
        """A schema may refer to what refers to it."""
        tree = {"type": "array", "items": {"$ref": "#/$defs/tree"}}
        shapes = Shapes.of({"$defs": {"tree": tree}, "$ref": "#/$defs/tree"})
        self.assertEqual(
            (shapes.root, shapes.named), (Named("Tree"), {"Tree": Many(Named("Tree"))})
        )

    def test_elsewhere(self) -> None:
        """What is no JSON is named by its mark."""
        self.assertEqual(shape({ELSEWHERE: "date", "type": "string"}), Named("date"))


#: Small schemas, and values that may fit them.
SCHEMAS: Any = st.recursive(
    st.sampled_from(
        [
            {},
            {"type": "string", "minLength": 1},
            {"type": "integer", "minimum": 0},
            {"type": ["number", "null"]},
            {"const": "a"},
            {"enum": [1, "a", [1]]},
        ]
    ),
    lambda inner: st.one_of(
        st.builds(lambda one: {"type": "array", "items": one}, inner),
        st.builds(lambda a, b: {"anyOf": [a, b]}, inner, inner),
        st.builds(lambda a, b: {"allOf": [a, b]}, inner, inner),
        st.builds(
            lambda one, needed, more: {
                "type": "object",
                "properties": {"p": one},
                "required": ["p"] if needed else [],
                "additionalProperties": more,
            },
            inner,
            st.booleans(),
            st.booleans(),
        ),
    ),
    max_leaves=4,
)
VALUES: Any = st.recursive(
    st.sampled_from([None, 0, 1, 1.5, "", "a", True]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("pq"), inner, max_size=2)
    ),
    max_leaves=4,
)


def fits(value: Any, one: Shape) -> bool:
    """Whether a generated type would take `value`."""
    match one:
        case Plain("unknown"):
            return True
        case Plain("string"):
            return isinstance(value, str)
        case Plain("number"):
            return isinstance(value, int | float) and not isinstance(value, bool)
        case Plain("integer"):
            return isinstance(value, int) and not isinstance(value, bool)
        case Plain("null"):
            return value is None
        case Constant(wanted):
            return bool(value == wanted)
        case OneOf(shapes):
            return any(fits(value, inner) for inner in shapes)
        case AllOf(shapes):
            return all(fits(value, inner) for inner in shapes)
        case Many(item):
            return isinstance(value, list) and all(fits(inner, item) for inner in value)
        case Record(fields, extra):
            if not isinstance(value, dict):
                return False
            own = {field.name: field for field in fields}
            return all(field.name in value for field in fields if field.required) and all(
                fits(inner, own[name].shape) if name in own else extra is None or fits(inner, extra)
                for name, inner in value.items()
            )
    return False


class NeverNarrowerTests(SynchronousTestCase):
    """The rule of shapes."""

    @given(SCHEMAS, VALUES)
    def test_takes_what_the_schema_takes(self, schema: Any, value: Any) -> None:
        """Whatever a validator of schemas lets through, the shape does too."""
        if Draft202012Validator(schema).is_valid(value):
            self.assertTrue(fits(value, shape(schema)), shape(schema))


class NamesTests(SynchronousTestCase):
    """Names of types."""

    def test_pascal(self) -> None:
        """Words without what stands between them; a digit does not begin a name."""
        for text, name in (
            ("room-updates", "RoomUpdates"),
            ("a.b_c", "ABC"),
            ("alreadyPascal", "AlreadyPascal"),
            ("3d", "T3d"),
            ("", "T"),
        ):
            self.assertEqual(pascal(text), name)

    def test_taken(self) -> None:
        """No two declarations get one name, also where the numbered one is taken."""
        names = Names("Room", "Room2")
        self.assertEqual(
            [names.take("Room"), names.take("Room"), names.take("X")], ["Room3", "Room4", "X"]
        )

    def test_of_a_schema(self) -> None:
        """The root has the name that is given, and what it refers to begins with it."""
        shapes = Shapes(Named("Node"), {"Node": STRING, "Leaf": STRING})
        names = Names("RoomNode")
        self.assertEqual(
            names.of("Room", shapes), {"": "Room", "Node": "RoomNode2", "Leaf": "RoomLeaf"}
        )
