"""Control frames of ``tako.v1`` as JSON (protocol, section 5).

Rule: control frames carry ``op``, messages never do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from takotwist.codecs.frames import Ref
from takotwist.core.channel import Lifecycle
from takotwist.core.topic import Topic
from takotwist.errors import Refusal


def lifecycle_fields(lifecycle: Lifecycle) -> dict[str, int]:
    """A lifecycle as clients and apps spell it, in milliseconds."""
    return {
        "replayWindowMs": lifecycle.replay_window_ms,
        "inactivityTtlMs": lifecycle.inactivity_ttl_ms,
        "keepaliveIntervalMs": lifecycle.keepalive_interval_ms,
        "maxConnectionLifetimeMs": lifecycle.max_connection_lifetime_ms,
    }


def _topic(topic: Topic) -> dict[str, Any]:
    return {"channel": topic.channel, "params": dict(sorted(topic.params.items()))}


def open_frame(
    cursor: int | None,
    connection: str,
    lifecycle: Lifecycle,
    more: Mapping[str, Any] | None = None,
) -> bytes:
    """The first frame of a connection.

    :param cursor: `None` on a connection that begins without a topic.
    :param more: further fields, of this transport.
    """
    frame: dict[str, Any] = {"op": "open"}
    if cursor is not None:
        frame["cursor"] = str(cursor)
    frame["connection"] = connection
    frame["lifecycle"] = lifecycle_fields(lifecycle)
    return msgspec.json.encode(frame | dict(more or {}))


def reset_frame(reset: Refusal, cursor: int, ref: Ref = None, topic: Topic | None = None) -> bytes:
    """The subscription begins anew at `cursor`, because the client's cannot be resumed."""
    frame: dict[str, Any] = {"op": "reset"}
    if topic is not None:
        frame |= {"ref": ref, **_topic(topic)}
    return msgspec.json.encode(frame | {"reason": reset.code, "cursor": str(cursor)})


def subscribed_frame(
    ref: Ref, cursor: int, topic: Topic, lifecycle: Lifecycle, subject: str | None
) -> bytes:
    """A topic is followed from `cursor`; its first message comes after this frame."""
    frame = {"op": "ack", "ref": ref, "cursor": str(cursor), **_topic(topic)}
    if subject is not None:
        frame["subject"] = subject
    return msgspec.json.encode(frame | {"lifecycle": lifecycle_fields(lifecycle)})


def ack_frame(ref: Ref, message_id: int | None = None, *, stored: bool = True) -> bytes:
    """A frame was taken.

    :param message_id: of the message that it became.
    :param stored: `False` where the app's handler let it go nowhere: ``id`` is null then.
    """
    frame: dict[str, Any] = {"op": "ack", "ref": ref}
    if message_id is not None:
        frame["id"] = str(message_id)
    elif not stored:
        frame["id"] = None
    return msgspec.json.encode(frame)


def error_frame(refusal: Refusal, ref: Ref = None, topic: Topic | None = None) -> bytes:
    """A frame was refused, or a topic is over."""
    frame: dict[str, Any] = {"op": "error", "ref": ref}
    if topic is not None:
        frame |= _topic(topic)
    frame |= {"code": refusal.code, "error": refusal.sentence}
    if refusal.retry_after is not None:
        frame["retryAfterMs"] = int(refusal.retry_after * 1000)
    return msgspec.json.encode(frame)


def pong_frame(ref: Ref) -> bytes:
    """Somebody is there."""
    return msgspec.json.encode({"op": "pong", "ref": ref})
