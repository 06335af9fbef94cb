"""Questions to an app elsewhere and its answers, as JSON (protocol, section 9).

Both sides are in here, so that the server's reader and the writer that apps
mount cannot drift apart.  Rule: what is read is complete and of the right types,
or it is a `BodyInvalid` that names the field; nothing is guessed.
"""

from __future__ import annotations

from typing import Any

import msgspec

from takotwist.codecs.tako_json import payload
from takotwist.core.authorization import (
    AuthRequest,
    Drop,
    Fanout,
    Frame,
    Grant,
    HeaderCredential,
    Operation,
    Reject,
    Verdict,
    check_expiry,
)
from takotwist.core.json_values import Json
from takotwist.errors import BodyInvalid, VerifyRejected


class _Header(msgspec.Struct, omit_defaults=True):
    value: str
    scheme: str | None = None


class _Question(msgspec.Struct, omit_defaults=True):
    channel: str
    operation: Operation
    params: dict[str, Json]
    header: _Header | None = None
    cookie: str | None = None


class _Frame(msgspec.Struct):
    type: str
    data: msgspec.Raw


class _Dispatch(msgspec.Struct, omit_defaults=True):
    channel: str
    params: dict[str, Json]
    frame: _Frame
    subject: str | None = None


class _Grant(msgspec.Struct, omit_defaults=True, rename="camel"):
    ok: bool
    subject: str | None = None
    info: Any = None
    expires_at: float | None = None
    replay_window_ms: int | None = None
    inactivity_ttl_ms: int | None = None
    keepalive_interval_ms: int | None = None
    max_connection_lifetime_ms: int | None = None


class _Verdict(msgspec.Struct, omit_defaults=True):
    action: str
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: str | None = None
    reason: str | None = None


def _read(kind: object, body: bytes, what: str) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise BodyInvalid(f"{what}: {bad}") from None


def write_question(request: AuthRequest) -> bytes:
    """The body of ``authorize``."""
    said = request.header
    header = None if said is None else _Header(said.value, said.scheme)
    return msgspec.json.encode(
        _Question(request.channel, request.operation, dict(request.params), header, request.cookie)
    )


def read_question(body: bytes) -> AuthRequest:
    """:raises BodyInvalid: it is none."""
    read: _Question = _read(_Question, body, "the authorize request")
    said = read.header
    header = None if said is None else HeaderCredential(said.value, said.scheme)
    return AuthRequest(read.channel, read.operation, read.params, header, read.cookie)


def write_grant(grant: Grant) -> bytes:
    """The answer of an app that says yes."""
    said = {name: getattr(grant, name) for name in _Grant.__struct_fields__ if name != "ok"}
    return msgspec.json.encode(_Grant(True, **said))


#: The answer of an app that says no.
NO = b'{"ok":false}'


def read_grant(body: bytes) -> Grant:
    """The answer to ``authorize``.

    :raises VerifyRejected: it says no.
    :raises BodyInvalid: it says neither.
    """
    read: _Grant = _read(_Grant, body, "the answer to authorize")
    if not read.ok:
        raise VerifyRejected
    if read.expires_at is not None:
        try:
            check_expiry(read.expires_at)
        except ValueError as wrong:
            raise BodyInvalid(f"the answer to authorize: expiresAt {wrong}") from None
    return Grant(**{name: getattr(read, name) for name in _Grant.__struct_fields__ if name != "ok"})


def says_no(body: bytes) -> bool:
    """`True` where the answer holds ``ok: false``, which is a refusal whatever its status."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(value, dict) and value.get("ok") is False


def write_frame(frame: Frame) -> bytes:
    """The body of ``dispatch``."""
    return msgspec.json.encode(
        _Dispatch(
            frame.channel,
            dict(frame.params),
            _Frame(frame.type, msgspec.Raw(frame.data)),
            frame.subject,
        )
    )


def read_frame(body: bytes) -> Frame:
    """:raises BodyInvalid: it is none."""
    read: _Dispatch = _read(_Dispatch, body, "the dispatch request")
    data = payload(bytes(read.frame.data), "frame.data")
    return Frame(read.channel, read.params, read.frame.type, data, read.subject)


def write_verdict(verdict: Verdict) -> bytes:
    """The answer to ``dispatch``."""
    match verdict:
        case Fanout(data):
            return msgspec.json.encode(_Verdict("fanout", data=msgspec.Raw(data)))
        case Reject(reason):
            return msgspec.json.encode(_Verdict("reject", reason=reason))
        case Drop(error):
            return msgspec.json.encode(_Verdict("drop", error=error))


def read_verdict(body: bytes) -> Verdict:
    """:raises BodyInvalid: it is none."""
    read: _Verdict = _read(_Verdict, body, "the answer to dispatch")
    match read.action:
        case "fanout" if isinstance(read.data, msgspec.Raw):
            return Fanout(payload(bytes(read.data)))
        case "fanout":
            raise BodyInvalid("the answer to dispatch: a fanout without data")
        case "drop":
            return Drop(read.error)
        case "reject" if read.reason is not None:
            return Reject(read.reason)
        case "reject":
            raise BodyInvalid("the answer to dispatch: a reject without reason")
    raise BodyInvalid(f"the answer to dispatch: there is no action {read.action!r}")
