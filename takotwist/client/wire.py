"""WebSocket text frames as values (protocol, section 5).

Control frames carry ``"op"``, messages never do.  Rule: a control frame of a
kind or shape that this version does not know is ignored; a message that cannot
be read never is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from takotwist.client.machine.outgoing import Publish

#: The subprotocol that makes a connection explicit.
SUBPROTOCOL = "tako.v1"


@attrs.frozen(slots=True)
class Opened:
    """The server let us in.

    :ivar cursor: where we stand; `None` on a multiplexed connection.
    :ivar keepalive_ms: how often it will be heard of.
    """

    cursor: str | None
    keepalive_ms: float | None


@attrs.frozen(slots=True)
class Acked:
    """What we sent with `ref` was done.

    :ivar id: of the stored message, for a publish.
    :ivar cursor: where the topic stands, for a subscribe.
    :ivar params: the topic's validated params, for a subscribe.
    """

    ref: object
    id: str | None
    cursor: str | None
    params: Mapping[str, Any] | None


@attrs.frozen(slots=True)
class Failed:
    """What we sent with `ref` was refused, or the topic that it opened has ended."""

    ref: object
    code: str
    sentence: str


@attrs.frozen(slots=True)
class WasReset:
    """Continuity ended at the server.

    :ivar ref: of the subscribe, on a multiplexed connection.
    """

    ref: object
    reason: str
    cursor: str | None


Control = Opened | Acked | Failed | WasReset


def _cursor(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None


def read_control(value: Mapping[str, Any]) -> Control | None:
    """The control frame in `value`, or `None` for one to be ignored.

    :param value: an object with ``op``.
    """
    ref, cursor = value.get("ref"), _cursor(value.get("cursor"))
    match value["op"]:
        case "open":
            lifecycle = value.get("lifecycle")
            said = lifecycle.get("keepaliveIntervalMs") if isinstance(lifecycle, dict) else None
            keepalive = float(said) if isinstance(said, int) and 0 < said < 2**53 else None
            return Opened(cursor, keepalive)
        case "ack":
            params = value.get("params")
            params = params if isinstance(params, dict) else None
            return Acked(ref, _cursor(value.get("id")), cursor, params)
        case "error":
            return Failed(ref, str(value.get("code")), str(value.get("error") or ""))
        case "reset":
            return WasReset(ref, str(value.get("reason")), cursor)
    return None


def _text(value: Mapping[str, Any]) -> str:
    return msgspec.json.encode({k: v for k, v in value.items() if v is not None}).decode()


def auth(token: str, cursor: str | None) -> str:
    """The first frame where no header can be set, and later one that refreshes."""
    return _text({"type": "tako.auth", "token": token, "lastMessageId": cursor})


def plain_publish(publish: Publish) -> str:
    """A client's frame of the plain mode."""
    return _text({"type": publish.type, "data": publish.data})


def publish(publish: Publish) -> str:
    """A client's frame that wants an answer."""
    return _text(
        {
            "type": publish.type,
            "data": publish.data,
            "ref": publish.ref,
            "idempotencyKey": publish.key,
        }
    )


def topic_publish(publish: Publish, channel: str, params: Mapping[str, Any]) -> str:
    """A publish on one topic of a multiplexed connection."""
    return _text(
        {
            "op": "publish",
            "ref": publish.ref,
            "channel": channel,
            "params": params,
            "type": publish.type,
            "data": publish.data,
            "idempotencyKey": publish.key,
        }
    )


def topic_request(op: str, ref: int, channel: str, params: Mapping[str, Any], **more: Any) -> str:
    """``subscribe``, ``unsubscribe`` or ``auth`` of one topic."""
    return _text({"op": op, "ref": ref, "channel": channel, "params": params, **more})


def ping(ref: int) -> str:
    """A question whether the server is still there; browsers cannot send a ping frame."""
    return _text({"op": "ping", "ref": ref})
