"""Channels as TypeScript."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from takotwist.codecs.generate_python import python_stub
from takotwist.codecs.generate_typescript import typescript
from takotwist.core.channel import PresenceRules, StateRules
from takotwist.core.params import PayloadSchema, Schema
from tests.codecs.typed_channels import channel


class TypeScriptTests(SynchronousTestCase):
    """What a front-end developer imports."""

    def test_chat(self) -> None:
        """Params, messages and the table of a plain channel, in full."""
        text = typescript(
            [
                channel(
                    "chat",
                    {
                        "type": "object",
                        "properties": {
                            "roomId": {"type": "string", "description": "The */ room"},
                            "count": {"type": "integer"},
                        },
                        "required": ["roomId"],
                    },
                    msg={
                        "type": "object",
                        "properties": {
                            "text": {"type": "string"},
                            "kind": {"enum": ["a", 1, None]},
                            "tags": {"type": "array", "items": {"type": ["string", "null"]}},
                            "at": {"type": "object", "properties": {"x": {"type": "number"}}},
                        },
                        "required": ["text"],
                    },
                )
            ]
        )
        self.assertEqual(
            text.partition("\n\n")[2],
            """\
import type {} from "takotwist";

export type ChatParams = {
  /** The * / room */
  readonly roomId: string;
  readonly count?: number;
};

export type ChatMsg = {
  readonly text: string;
  readonly kind?: "a" | 1 | null;
  readonly tags?: readonly (string | null)[];
  readonly at?: {
    readonly x?: number;
  };
};

export type ChatMessages = {
  msg: ChatMsg;
};

export type Channels = {
  chat: { params: ChatParams; messages: ChatMessages };
};

declare module "takotwist" {
  interface RegisteredChannels extends Channels {}
}
""",
        )

    def test_state(self) -> None:
        """What the app gives as a topic's state, where it says what that is."""
        schema = {"type": "object", "properties": {"total": {"type": "integer"}}}
        state = StateRules(schema=PayloadSchema.of(schema, "state"))
        defined = attrs.evolve(channel("board"), state=state)
        text = typescript([defined, attrs.evolve(channel("chat"), state=StateRules())])
        self.assertIn("export type BoardState = {\n  readonly total?: number;\n};", text)
        self.assertIn("messages: BoardMessages; state: BoardState };", text)
        self.assertIn("messages: ChatMessages };", text)
        self.assertIn("BoardState = TypedDict(", python_stub([defined]))

    def test_presence(self) -> None:
        """What the members of a channel are, as far as it is declared."""
        number = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}
        state = PayloadSchema(Schema.of(number, "state"))
        chat = attrs.evolve(
            channel("chat", {"type": "object"}), presence=PresenceRules(state=state)
        )
        text = typescript([chat])
        self.assertIn("export type ChatPresenceState = {\n  readonly x: number;\n};", text)
        self.assertIn("presence: { info: unknown; state: ChatPresenceState } };", text)
        self.assertIn("ChatPresenceState = TypedDict(", python_stub([chat]))

    def test_none(self) -> None:
        """Without a channel nothing is registered, so `channel` takes any name."""
        self.assertTrue(typescript([]).endswith("export type Channels = {\n};\n"))

    def test_recursive(self) -> None:
        """A schema that refers to itself becomes a type that does."""
        node = {
            "type": "object",
            "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
        }
        text = typescript([channel("tree", t={"$ref": "#/$defs/node", "$defs": {"node": node}})])
        self.assertIn("readonly children?: readonly TreeTNode[];", text)
        self.assertIn("export type TreeT = TreeTNode;", text)

    def test_names(self) -> None:
        """Names that would fall together are told apart; odd ones are quoted."""
        text = typescript([channel("a-b", params={"type": "integer"}), channel("a.b")])
        for name in ("ABParams", "ABParams2", "ABParams3", "ABMessages2"):
            self.assertEqual(text.count(f"export type {name} ="), 1, name)
        self.assertIn('"a-b": { params: ABParams; messages: ABMessages };', text)

    def test_no_type_is_too_narrow(self) -> None:
        """What a schema leaves open stays open."""
        for schema, wanted in (
            ({}, "unknown"),
            (True, "unknown"),
            (False, "never"),
            ({"type": "object"}, "{ readonly [name: string]: unknown }"),
            ({"type": "array"}, "readonly unknown[]"),
            ({"anyOf": [{"type": "string"}, {}]}, "unknown"),
            ({"allOf": [{"type": "string"}, {"minLength": 1}]}, "string"),
            ({"oneOf": [{"type": "string"}, {"type": "boolean"}]}, "string | boolean"),
            (
                {"type": "array", "prefixItems": [{"type": "string"}], "items": False},
                "readonly string[]",
            ),
        ):
            text = typescript([channel("c", t=schema)])
            self.assertIn(f"export type CT = {wanted};\n", text, schema)
