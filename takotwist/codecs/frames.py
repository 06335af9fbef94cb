"""Frames of the channel protocol as JSON: read from clients, written to them (section 5).

One reader for the plain protocol, for ``tako.v1`` and for connections that hold many
topics.  Rules: a frame is either one of these values or a refusal that names the field;
nothing half-read comes out.  Control frames carry ``op``, messages never do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import attrs
import msgspec

from takotwist.codecs.tako_json import check_type, payload
from takotwist.core.channel import Lifecycle
from takotwist.core.json_values import Json, JsonObject
from takotwist.core.roster_messages import is_roster
from takotwist.core.topic import Draft, Topic, beginning_text, parse_beginning
from takotwist.errors import BodyInvalid, MessageTooLarge, Refusal

#: A client's name for one of its frames, given back in the answer.
Ref = int | str | None

#: Longest `ref` and idempotency key, in characters.
MAX_KEY_LENGTH = 255

#: Longest credentials, as a line of a head may be: they are kept with the connection.
MAX_CREDENTIALS_LENGTH = 8192


@attrs.frozen(slots=True)
class Authenticate:
    """``tako.auth``: credentials, and where to resume.

    :ivar cursor: `FOREIGN` where it is no cursor; what becomes of that is said in the URL.
    """

    token: str = attrs.field(repr=False)
    cursor: int | None = None


@attrs.frozen(slots=True)
class Send:
    """A message for the connection's own topic."""

    draft: Draft
    ref: Ref = None
    idempotency_key: str | None = None


@attrs.frozen(slots=True)
class State:
    """A member's own state, on the connection's own topic.

    :ivar state: one JSON value, encoded.
    """

    state: bytes
    ref: Ref = None


@attrs.frozen(slots=True)
class FollowRoster:
    """Follow the roster of the connection's own topic, or stop following it.

    :ivar op: ``subscribe`` or ``unsubscribe``.
    """

    op: str
    ref: Ref = None
    cursor: int | None = None
    reset_when_stale: bool = False


@attrs.frozen(slots=True)
class OnTopic:
    """A frame that names its topic.

    :ivar op: ``subscribe``, ``unsubscribe``, ``publish``, ``auth`` or ``presence``.
    :ivar auth: credentials for this topic alone, `None` for the connection's.
    :ivar draft: of a publish.
    :ivar presence: it is about who is at the topic.
    :ivar state: what a member says of itself there; one JSON value, encoded.
    """

    op: str
    ref: Ref
    channel: str
    params: JsonObject
    cursor: int | None = None
    auth: str | None = attrs.field(default=None, repr=False)
    reset_when_stale: bool = False
    draft: Draft | None = None
    idempotency_key: str | None = None
    presence: bool = False
    state: bytes | None = None


@attrs.frozen(slots=True)
class Ping:
    """Is anybody there?"""

    ref: Ref


@attrs.frozen(slots=True)
class Bad:
    """A frame that cannot be read.

    :ivar ref: where it could be read at least.
    :ivar auth: whether it is a ``tako.auth`` frame.
    """

    refusal: Refusal
    ref: Ref = None
    auth: bool = False


ClientFrame = Authenticate | Send | State | FollowRoster | OnTopic | Ping | Bad


class _Wire(msgspec.Struct):
    op: str | None = None
    ref: int | str | None = None
    type: str | None = None
    data: msgspec.Raw = msgspec.Raw()
    token: str | None = None
    lastMessageId: str | int | None = None
    idempotencyKey: str | None = None
    channel: str | None = None
    params: dict[str, Json] = {}
    cursor: str | int | None = None
    auth: str | None = None
    stale: str | None = None
    presence: bool = False
    state: msgspec.Raw = msgspec.Raw()


_WIRE = msgspec.json.Decoder(_Wire)
#: Members with plain values at the beginning of an object, up to a `ref`.
_LEADING_REF = re.compile(
    rb"\s*\{"
    rb'(?:\s*"[^"\\]*"\s*:\s*(?:"(?:[^"\\]|\\.)*"|[-+.\w]+)\s*,)*?'
    rb'\s*"ref"\s*:\s*("[^"\\]*"|-?\d{1,20})\s*[,}]'
)
#: How far it is looked for.
_LEADING_BYTES = 4096
_TOPIC_OPS = ("subscribe", "unsubscribe", "publish", "auth", "presence")


def read_client_frame(text: bytes, max_bytes: int) -> ClientFrame:
    """Read one frame.

    :param text: UTF-8.
    :param max_bytes: most bytes of a message's `data`.
    """
    try:
        wire = _WIRE.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        return _unreadable(text, bad)
    try:
        return _frame(wire, max_bytes)
    except Refusal as refusal:
        return Bad(refusal, wire.ref, auth=wire.type == "tako.auth")


def _unreadable(text: bytes, bad: Exception) -> Bad:
    known = _readable(text)
    return Bad(
        BodyInvalid(f"The frame is not valid: {bad}"),
        _usable(known.get("ref")),
        auth=known.get("type") == "tako.auth",
    )


def _usable(ref: object) -> Ref:
    """A `ref` that an answer can say; everything else is none."""
    if type(ref) is int:
        return ref
    try:
        return ref if isinstance(ref, str) and ref.encode() else None
    except UnicodeEncodeError:
        return None


def _readable(text: bytes) -> dict[str, object]:
    """The readable part of a frame that is not valid, so that its sender hears of it.

    The standard library's reader, because it takes what no wire may carry: half of a surrogate
    pair, NaN, bytes that are no UTF-8.  Where it gives up too, as on JSON that is cut or nested too
    deep, a `ref` that stands before that is found by its form.
    """
    try:
        known = json.loads(text.decode(errors="replace"))
    except (ValueError, RecursionError):
        leading = _LEADING_REF.match(text, 0, _LEADING_BYTES)
        known = {"ref": json.loads(leading[1].decode(errors="replace"))} if leading else None
    return known if isinstance(known, dict) else {}


def _frame(wire: _Wire, max_bytes: int) -> ClientFrame:
    _check_length("ref", wire.ref)
    _check_length("idempotencyKey", wire.idempotencyKey)
    _check_length("token", wire.token, MAX_CREDENTIALS_LENGTH)
    _check_length("auth", wire.auth, MAX_CREDENTIALS_LENGTH)
    if wire.type == "tako.auth":
        return Authenticate(
            _required("token", wire.token), _cursor(wire.lastMessageId, "", foreign=True)
        )
    if wire.op is None:
        return Send(_draft(wire, max_bytes), wire.ref, wire.idempotencyKey)
    if wire.op == "ping":
        return Ping(wire.ref)
    if wire.op not in _TOPIC_OPS:
        raise BodyInvalid(f"op: there is no {wire.op!r}.")
    if wire.op == "presence" and wire.channel is None:
        return State(_state(wire), wire.ref)
    if wire.stale not in (None, "reset"):
        raise BodyInvalid("stale must be 'reset' where it is given.")
    reset = wire.stale == "reset"
    cursor = _cursor(wire.cursor, "cursor", foreign=reset)
    if wire.presence and wire.channel is None and wire.op in ("subscribe", "unsubscribe"):
        return FollowRoster(wire.op, wire.ref, cursor, reset)
    return OnTopic(
        wire.op,
        wire.ref,
        _required("channel", wire.channel),
        wire.params,
        cursor,
        _required("auth", wire.auth) if wire.op == "auth" else wire.auth,
        reset,
        _draft(wire, max_bytes) if wire.op == "publish" else None,
        wire.idempotencyKey,
        wire.presence,
        _state(wire) if wire.op == "presence" else None,
    )


def _state(wire: _Wire) -> bytes:
    raw = bytes(wire.state)
    if not raw:
        raise BodyInvalid("state is missing.")
    return payload(raw, "state")


def _draft(wire: _Wire, max_bytes: int) -> Draft:
    kind = _required("type", wire.type)
    check_type(kind)
    raw = bytes(wire.data)
    if not raw:
        raise BodyInvalid("data is missing.")
    data = payload(raw)
    if len(data) > max_bytes:
        raise MessageTooLarge(f"data has {len(data)} bytes; at most {max_bytes} are taken.")
    return Draft(kind, data)


def _cursor(said: str | int | None, field: str, *, foreign: bool) -> int | None:
    return None if said is None or said == "" else parse_beginning(said, field, foreign=foreign)


def _required(field: str, value: str | None) -> str:
    if not value:
        raise BodyInvalid(f"{field} is missing.")
    return value


def _check_length(field: str, value: Ref, most: int = MAX_KEY_LENGTH) -> None:
    if isinstance(value, str) and len(value) > most:
        raise BodyInvalid(f"{field} has more than {most} characters.")


def lifecycle_fields(lifecycle: Lifecycle) -> dict[str, int]:
    """A lifecycle as clients and apps spell it, in milliseconds."""
    return {
        "replayWindowMs": lifecycle.replay_window_ms,
        "inactivityTtlMs": lifecycle.inactivity_ttl_ms,
        "keepaliveIntervalMs": lifecycle.keepalive_interval_ms,
        "maxConnectionLifetimeMs": lifecycle.max_connection_lifetime_ms,
    }


def _topic(topic: Topic) -> dict[str, object]:
    named: dict[str, object] = {"channel": topic.channel}
    named["params"] = dict(sorted(topic.params.items()))
    return {**named, "presence": True} if is_roster(topic) else named


def open_frame(
    cursor: int | None,
    connection: str,
    lifecycle: Lifecycle,
    more: Mapping[str, object] | None = None,
) -> bytes:
    """The first frame of a connection.

    :param cursor: `None` on a connection that begins without a topic.
    :param more: further fields, of this transport.
    """
    frame: dict[str, object] = {"op": "open"}
    if cursor is not None:
        frame["cursor"] = beginning_text(cursor)
    frame["connection"] = connection
    frame["lifecycle"] = lifecycle_fields(lifecycle)
    return msgspec.json.encode(frame | dict(more or {}))


def reset_frame(reset: Refusal, cursor: int, ref: Ref = None, topic: Topic | None = None) -> bytes:
    """The subscription begins anew at `cursor`, because the client's cannot be resumed."""
    frame: dict[str, object] = {"op": "reset"}
    if topic is not None:
        frame |= {"ref": ref, **_topic(topic)}
    return msgspec.json.encode(frame | {"reason": reset.code, "cursor": beginning_text(cursor)})


def subscribed_frame(
    ref: Ref, cursor: int, topic: Topic, lifecycle: Lifecycle, subject: str | None
) -> bytes:
    """A topic is followed from `cursor`; its first message comes after this frame."""
    frame = {"op": "ack", "ref": ref, "cursor": beginning_text(cursor), **_topic(topic)}
    if subject is not None:
        frame["subject"] = subject
    return msgspec.json.encode(frame | {"lifecycle": lifecycle_fields(lifecycle)})


def synced_frame(cursor: int, ref: Ref = None, topic: Topic | None = None) -> bytes:
    """All that was there at the beginning of a subscription has been given, or of a roster
    named.

    :param topic: on a connection where there may be several.
    """
    if topic is None:
        return msgspec.json.encode({"op": "synced", "cursor": str(cursor)})
    return msgspec.json.encode({"op": "synced", "ref": ref, "cursor": str(cursor), **_topic(topic)})


def ack_frame(ref: Ref, message_id: int | None = None, *, stored: bool = True) -> bytes:
    """A frame was taken.

    :param message_id: of the message that it became.
    :param stored: `False` where the app's handler let it go nowhere: ``id`` is null then.
    """
    frame: dict[str, object] = {"op": "ack", "ref": ref}
    if message_id is not None:
        frame["id"] = str(message_id)
    elif not stored:
        frame["id"] = None
    return msgspec.json.encode(frame)


def error_frame(refusal: Refusal, ref: Ref = None, topic: Topic | None = None) -> bytes:
    """A frame was refused, or a topic is over."""
    frame: dict[str, object] = {"op": "error", "ref": ref}
    if topic is not None:
        frame |= _topic(topic)
    frame |= {"code": refusal.code, "error": refusal.sentence}
    if refusal.retry_after is not None:
        frame["retryAfterMs"] = int(refusal.retry_after * 1000)
    return msgspec.json.encode(frame)


def pong_frame(ref: Ref) -> bytes:
    """Somebody is there."""
    return msgspec.json.encode({"op": "pong", "ref": ref})
