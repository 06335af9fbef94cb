"""Channels as Python types."""

from __future__ import annotations

from typing import Any, get_type_hints

from twisted.trial.unittest import SynchronousTestCase

from takotwist.codecs.generate_python import python_stub
from tests.codecs.typed_channels import channel


def written(*channels: Any) -> dict[str, Any]:
    """The module that is written, imported."""
    names: dict[str, Any] = {"__name__": "written"}
    exec(compile(python_stub(channels), "written", "exec"), names)
    return names


class PythonStubTests(SynchronousTestCase):
    """What another program imports."""

    def test_chat(self) -> None:
        """Required and optional params, data of each type, and the names of the types."""
        names = written(
            channel(
                "chat",
                {
                    "type": "object",
                    "properties": {"roomId": {"type": "string"}, "on-off": {"type": "boolean"}},
                    "required": ["roomId"],
                },
                msg={"type": "object", "properties": {"text": {"type": ["string", "null"]}}},
                typing={"type": "integer"},
            )
        )
        self.assertEqual(get_type_hints(names["ChatParams"]), {"roomId": str, "on-off": bool})
        self.assertEqual(names["ChatParams"].__optional_keys__, {"on-off"})
        self.assertEqual(get_type_hints(names["ChatMsg"]), {"text": str | None})
        self.assertIs(names["ChatTyping"], int)
        self.assertEqual(str(names["ChatType"]), "typing.Literal['msg', 'typing']")

    def test_nested(self) -> None:
        """Objects within objects get names; those that must be all are merged."""
        inner = {"type": "object", "properties": {"x": {"type": "number"}}}
        other = {"type": "object", "properties": {"y": {"const": 1}}}
        names = written(
            channel(
                "c",
                t={
                    "type": "object",
                    "properties": {
                        "many": {"type": "array", "items": inner},
                        "both": {"allOf": [inner, other]},
                    },
                },
            )
        )
        self.assertEqual(get_type_hints(names["CTManyItem"]), {"x": float})
        self.assertEqual(set(get_type_hints(names["CTBoth"])), {"x", "y"})
        hints = get_type_hints(names["CT"], names)
        self.assertEqual(hints["many"].__args__, (names["CTManyItem"],))

    def test_recursive(self) -> None:
        """A schema that refers to itself can be imported."""
        node = {"type": "object", "properties": {"next": {"$ref": "#"}}}
        names = written(channel("tree", t=node))
        self.assertEqual(get_type_hints(names["TreeT"], names), {"next": names["TreeT"]})
