"""Codec of live frames, text and binary (protocol, live objects, section 5).

Rule: what `read` gives is complete, or `Unreadable` names the field.  The id of
the object stands beside the frame and not in it: a machine does not know its own.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from takotwist.live.machine.frames import Do, Frame, Info, Position, Trouble

#: Longest id of an object, in characters.
MAX_ID = 64

_SEQ = struct.Struct("!I")
_INFO = struct.Struct("!QQQ")
_KINDS: dict[tuple[Do, bool], int] = {
    ("send", False): 1,
    ("send", True): 2,
    ("publish", False): 3,
    ("published", False): 4,
}
#: ``published`` of a durable object.
_STORED = 5
_CURSOR = struct.Struct("!Q")
_BY_KIND = {number: kind for kind, number in _KINDS.items()} | {_STORED: ("published", False)}
_LAST_SEQ = 2**32 - 1


class Unreadable(ValueError):
    """A frame that the protocol does not know; the sentence names the field."""


class _Trouble(msgspec.Struct):
    code: str
    value: msgspec.Raw = msgspec.Raw()
    values: msgspec.Raw = msgspec.Raw()
    message: str | None = None


class _Info(msgspec.Struct):
    seq: int
    timestamp: int
    epoch: int
    cursor: str | int | None = None


class _Wire(msgspec.Struct):
    id: str
    do: Do
    seq: int = 0
    ack: bool = False
    of: int = 0
    values: msgspec.Raw = msgspec.Raw()
    data: msgspec.Raw = msgspec.Raw()
    error: _Trouble | None = None
    info: _Info | None = None
    kind: str = ""
    cursor: str | int | None = None
    stale: str = ""
    timeoutMs: float = 0.0
    at: int = -1
    bytes: int = -1
    messages: int = -1


_DECODER = msgspec.json.Decoder(_Wire)


def trouble_json(trouble: Trouble | None) -> Any:
    """An error as `msgspec.json.encode` takes it."""
    if trouble is None:
        return None
    said: dict[str, object] = {"code": trouble.code}
    if trouble.value is not None:
        said["value"] = msgspec.Raw(trouble.value)
    if trouble.values:
        said["values"] = msgspec.Raw(trouble.values)
    if trouble.message is not None:
        said["message"] = trouble.message
    return said


def read_trouble(said: object) -> Trouble | None:
    """:raises Unreadable: it is no error of the protocol."""
    try:
        wire = msgspec.json.decode(msgspec.json.encode(said), type=_Trouble | None)
    except (msgspec.MsgspecError, TypeError, ValueError) as bad:
        raise Unreadable(f"error: {bad}") from None
    return _trouble(wire)


def _trouble(wire: _Trouble | None) -> Trouble | None:
    if wire is None:
        return None
    return Trouble(wire.code, bytes(wire.value) or None, wire.message, bytes(wire.values))


def write_text(id: str, frame: Frame) -> bytes:
    """Encode a text frame; `data` stands last, so that its text can be found without parsing."""
    said: dict[str, object] = {"op": "live", "id": id, "do": frame.do}
    if frame.seq:
        said["seq"] = frame.seq
    if frame.ack:
        said["ack"] = True
    if frame.do == "ack":
        said["of"] = frame.of
    if frame.info is not None:
        said["info"] = frame.info.said
    if frame.do == "end" or (frame.do == "ack" and frame.error is not None):
        said["error"] = trouble_json(frame.error)
    elif frame.do == "close":
        said["timeoutMs"] = round(frame.timeout * 1000)
    elif frame.position is not None:
        position = frame.position
        said |= {"at": position.seq, "bytes": position.bytes, "messages": position.messages}
    if frame.kind:
        said["kind"] = frame.kind
    if frame.cursor is not None:
        said["cursor"] = frame.cursor
    if frame.reset:
        said["stale"] = "reset"
    if frame.values:
        said["values"] = msgspec.Raw(frame.values)
    if frame.data:
        said["data"] = msgspec.Raw(frame.data)
    return msgspec.json.encode(said)


def read_text(text: bytes) -> tuple[str, Frame]:
    """The object's id and its frame.  :raises Unreadable: as it says."""
    try:
        wire = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise Unreadable(str(bad)) from None
    do, data, values = wire.do, bytes(wire.data), bytes(wire.values)
    if do in ("credit", "end", "ended"):
        position = None
        if do == "credit":
            if min(wire.at, wire.bytes, wire.messages) < 0:
                raise Unreadable("at, bytes and messages must be whole numbers from 0")
            position = Position(wire.at, wire.bytes, wire.messages)
        return wire.id, Frame(do, error=_trouble(wire.error), position=position)
    if not 1 <= wire.seq <= _LAST_SEQ:
        raise Unreadable("seq must be a number from 1")
    if b"\n" in data or b"\r" in data or b"\n" in values or b"\r" in values:
        raise Unreadable("data must stand on one line")
    if do in ("send", "publish", "published") and not data:
        raise Unreadable("data is missing")
    if do == "ack" and not data and wire.error is None:
        raise Unreadable("data or error is missing")
    if do in ("subscribe", "unsubscribe") and wire.kind not in ("text", "binary"):
        raise Unreadable("kind must be text or binary")
    if wire.stale not in ("", "reset"):
        raise Unreadable("stale must be reset")
    if do == "close" and not 0 <= wire.timeoutMs < 1e12:
        raise Unreadable("timeoutMs must be a number from 0")
    info = wire.info and Info(
        wire.info.seq, wire.info.timestamp, wire.info.epoch, _cursor(wire.info.cursor)
    )
    return wire.id, Frame(
        do,
        wire.seq,
        data,
        ack=wire.ack,
        of=wire.of,
        error=_trouble(wire.error),
        info=info or None,
        kind=wire.kind,
        cursor=_cursor(wire.cursor),
        reset=bool(wire.stale),
        timeout=wire.timeoutMs / 1000,
        values=values,
    )


def _cursor(said: str | int | None) -> int | None:
    if isinstance(said, str):
        if not (said.isascii() and said.isdigit() and len(said) <= 16):
            raise Unreadable("cursor must be a decimal number")
        return int(said)
    if said is not None and said < 0:
        raise Unreadable("cursor must not be negative")
    return said


def write_binary(id: str, frame: Frame) -> bytes:
    """Encode a binary frame."""
    name = id.encode("ascii")
    kind, place, info = _KINDS[frame.do, frame.ack], b"", frame.info
    if info is not None:
        place = _INFO.pack(info.seq, info.timestamp, info.epoch)
        if info.cursor is not None:
            kind, place = _STORED, place + _CURSOR.pack(info.cursor)
    return bytes((kind, len(name))) + name + _SEQ.pack(frame.seq) + place + frame.data


def read_binary(payload: bytes) -> tuple[str, Frame]:
    """The object's id and its frame.  :raises Unreadable: as it says."""
    if len(payload) < 2 or payload[0] not in _BY_KIND:
        raise Unreadable("the kind of a binary frame is unknown")
    do, ack = _BY_KIND[payload[0]]
    at = 2 + payload[1]
    after = body = at + _SEQ.size
    if do == "published":
        body += _INFO.size + (_CURSOR.size if payload[0] == _STORED else 0)
    name = payload[2:at]
    if len(payload) < body or not name.isascii():
        raise Unreadable("a binary frame is cut short")
    (seq,) = _SEQ.unpack_from(payload, at)
    if seq == 0:
        raise Unreadable("seq must be a number from 1")
    info = None
    if do == "published":
        info = Info(*_INFO.unpack_from(payload, after))
        if payload[0] == _STORED:
            (cursor,) = _CURSOR.unpack_from(payload, after + _INFO.size)
            info = Info(info.seq, info.timestamp, info.epoch, cursor)
    return name.decode("ascii"), Frame(do, seq, payload[body:], True, ack, info=info)


def write(id: str, frame: Frame) -> bytes:
    """A frame in the form that it has, binary or text."""
    return write_binary(id, frame) if frame.binary else write_text(id, frame)
