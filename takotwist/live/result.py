"""What a function returned, as JSON, with the live objects taken out of it.

Rule: a place is a path and not a mark inside the data, so nothing that a
function returns can be taken for a live object.
"""

from __future__ import annotations

import secrets
from typing import Any

import attrs
import msgspec

from takotwist.app.declared import to_json
from takotwist.live.broadcast_channel import BroadcastChannel
from takotwist.live.channel import Channel, ClientEnd
from takotwist.live.errors import UsageError
from takotwist.live.live_object import LiveObject


@attrs.frozen(slots=True)
class Found:
    """A live object in a result.

    :ivar path: keys and indices from the root.
    """

    path: tuple[str | int, ...]
    one: LiveObject


def take_apart(result: Any) -> tuple[bytes, list[Found]]:
    """A result as JSON text, with `null` where live objects were.

    :raises TypeError: :raises ValueError: JSON has no form for something in it.
    :raises UsageError: a channel is in it and not its `client`.
    """
    objects: list[LiveObject] = []
    mark = secrets.token_hex(16)

    def hook(value: Any) -> Any:
        if isinstance(value, ClientEnd):
            one = value.channel
        elif isinstance(value, BroadcastChannel):
            one = value
        elif isinstance(value, Channel):
            raise UsageError("return channel.client, the client's end, and not the channel")
        else:
            dump = getattr(value, "model_dump", None)
            if callable(dump):
                # In Python's mode: a live object in a model is still one then.
                return dump(by_alias=True)
            raise TypeError(f"JSON has no form for {type(value).__name__!r}")
        objects.append(one)
        return f"{mark}{len(objects) - 1}"

    if isinstance(result, ClientEnd | LiveObject):
        result = hook(result)
    plain = msgspec.to_builtins(result, enc_hook=hook, str_keys=True)
    found: list[Found] = []
    if objects:
        plain = _without(plain, mark, objects, (), found)
    return to_json(plain), found


def _without(
    value: Any,
    mark: str,
    objects: list[LiveObject],
    path: tuple[str | int, ...],
    found: list[Found],
) -> Any:
    if isinstance(value, str):
        if not value.startswith(mark):
            return value
        one = objects[int(value[len(mark) :])]
        if any(other.one is one for other in found):
            raise UsageError(f"{one!r} stands twice in the result; one client has one end")
        found.append(Found(path, one))
        return None
    if isinstance(value, dict):
        return {
            key: _without(inner, mark, objects, (*path, key), found) for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            _without(inner, mark, objects, (*path, index), found)
            for index, inner in enumerate(value)
        ]
    return value


def answer_json(result: bytes, found: list[Found]) -> bytes:
    """The body of an answer (protocol, live objects, section 2)."""
    body: dict[str, Any] = {"result": msgspec.Raw(result)}
    if found:
        body["live"] = [
            {"path": list(one.path), "id": one.one.id, "kind": one.one.kind, "ack": one.one.ack}
            | ({"durable": True} if one.one.durable else {})
            for one in found
        ]
    return msgspec.json.encode(body)
