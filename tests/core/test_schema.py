"""Schemas that say no in one sentence which names the place."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.schema import PayloadSchema, Schema, path_of
from takotwist.errors import BodyInvalid, DefinitionError


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
