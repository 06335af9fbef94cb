"""Messages and drafts as JSON (protocol, sections 2 and 7).

Rule: a payload is read once, when it comes in, and is then bytes that are only
copied.  So an envelope is put together, not printed.
"""

from __future__ import annotations

import json
from functools import lru_cache

import msgspec

from takotwist.codecs.plain_json import ENCODING_ERRORS, MAX_DEPTH, failed_in, fault_in
from takotwist.core.topic import MAX_TYPE_LENGTH, RESERVED_TYPE_PREFIX, Draft, Message, Topic
from takotwist.errors import BodyInvalid, MessageTooLarge


class _Draft(msgspec.Struct):
    type: str
    data: msgspec.Raw
    key: str | None = None
    delete: bool = False


def encode_value(value: object, place: str = "data") -> bytes:
    """Any value of an app as one line of JSON.

    :param value: builtins, msgspec Structs, dataclasses, datetimes and the like.
    :param place: what it is called where it is refused.
    :raises BodyInvalid: it holds NaN, Infinity or something that JSON has not; says where.
    """
    fault = fault_in(value, place)
    if fault is not None:
        raise BodyInvalid(f"{fault}.")
    try:
        return _printed(value)
    except ENCODING_ERRORS as bad:
        raise BodyInvalid(f"{failed_in(value, place, _printed, bad)}.") from None


def _printed(value: object) -> bytes:
    # The standard library prints, because msgspec quietly turns NaN into null.
    return json.dumps(
        msgspec.to_builtins(value, str_keys=True),
        allow_nan=False,
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()


def check_type(kind: str, place: str = "type") -> None:
    """:raises BodyInvalid: not 1 to 128 characters, or reserved for the server."""
    if not 1 <= len(kind) <= MAX_TYPE_LENGTH:
        raise BodyInvalid(f"{place} must have 1 to {MAX_TYPE_LENGTH} characters.")
    if kind.startswith(RESERVED_TYPE_PREFIX):
        raise BodyInvalid(f"{place}: the prefix {RESERVED_TYPE_PREFIX!r} is reserved.")


def payload(raw: bytes | memoryview, place: str = "data") -> bytes:
    """Check one JSON value and bring it onto one line.

    :param raw: UTF-8 that a JSON reader has found the bounds of.
    :raises BodyInvalid: it is no JSON value.
    """
    data = bytes(raw)
    try:
        data.decode("utf-8")
        # Full decoding and not only skipping: numbers out of range and bad
        # escapes inside the value must be this publisher's error.
        value = _ANY.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise BodyInvalid(f"{place} is no JSON value: {bad}") from None
    # Each level is two bytes at least, so most need not be looked at.
    if (
        len(data) > 2 * MAX_DEPTH
        and data.count(b"[") + data.count(b"{") > MAX_DEPTH
        and _deeper(value, MAX_DEPTH)
    ):
        raise BodyInvalid(f"{place} is nested deeper than {MAX_DEPTH} levels.")
    # JSON strings hold no raw line ends, so these are white space between tokens.
    if b"\n" in data or b"\r" in data:
        data = msgspec.json.format(data, indent=-1)
    return data


def _deeper(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    children = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper(child, levels - 1) for child in children)


def _draft(read: _Draft, place: str, max_bytes: int) -> Draft:
    check_type(read.type, f"{place}type")
    data = payload(read.data, f"{place}data")
    if len(data) > max_bytes:
        raise MessageTooLarge(f"{place}data has {len(data)} bytes; at most {max_bytes} are taken.")
    return Draft(read.type, data, read.key, read.delete)


def _drafts(read: list[_Draft], max_bytes: int) -> tuple[Draft, ...]:
    drafts: list[Draft] = []
    for one in read:
        kind = one.type
        if not 1 <= len(kind) <= MAX_TYPE_LENGTH or kind.startswith(RESERVED_TYPE_PREFIX):
            check_type(kind, f"[{len(drafts)}].type")
        try:
            data = payload(one.data)
        except BodyInvalid:
            data = payload(one.data, f"[{len(drafts)}].data")
        if len(data) > max_bytes:
            raise MessageTooLarge(
                f"[{len(drafts)}].data has {len(data)} bytes; at most {max_bytes} are taken."
            )
        drafts.append(Draft(kind, data, one.key, one.delete))
    return tuple(drafts)


#: Any value.
_ANY = msgspec.json.Decoder()
_ONE = msgspec.json.Decoder(_Draft)
_MANY = msgspec.json.Decoder(list[_Draft])


def read_draft(body: bytes, max_bytes: int) -> Draft:
    """One ``{"type","data"}``.

    :param max_bytes: most bytes of `data`.
    :raises BodyInvalid: names the field. :raises MessageTooLarge: `data` is.
    """
    try:
        return _draft(_ONE.decode(body), "", max_bytes)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise BodyInvalid(f"The body must be {{'type','data'}}: {bad}") from None


def read_drafts(body: bytes, max_bytes: int, max_count: int) -> tuple[tuple[Draft, ...], bool]:
    """One draft or an array of them.

    :return: the drafts, and whether the body was an array.
    :raises BodyInvalid: names the field, and the index in an array.
    """
    if body.lstrip(b" \t\r\n")[:1] != b"[":
        return (read_draft(body, max_bytes),), False
    try:
        read = _MANY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise BodyInvalid(f"The body must be an array of {{'type','data'}}: {bad}") from None
    if not read:
        raise BodyInvalid("The array is empty: there is nothing to publish.")
    if len(read) > max_count:
        raise MessageTooLarge(f"The array has {len(read)} messages; at most {max_count} are taken.")
    return _drafts(read, max_bytes), True


@lru_cache(maxsize=1024)
def _between(channel: str, kind: str) -> bytes:
    """The part between id and data, which differ from message to message."""
    names = msgspec.json.encode(channel), msgspec.json.encode(kind)
    return b'","channel":%b,"type":%b,"data":' % names


def encode_message(message: Message) -> bytes:
    """``{"id","channel","type","data"}``, in that order."""
    return b'{"id":"%d%b%b}' % (
        message.id,
        _between(message.topic.channel, message.type),
        message.data,
    )


def encode_message_with_params(message: Message) -> bytes:
    """As `encode_message`, with the topic's params: the form of multiplexed connections."""
    return b'{"id":"%d","channel":%b,"params":%b,"type":%b,"data":%b}' % (
        message.id,
        msgspec.json.encode(message.topic.channel),
        encode_params(message.topic),
        msgspec.json.encode(message.type),
        message.data,
    )


def encode_params(topic: Topic) -> bytes:
    """The topic's params as a JSON object, keys sorted."""
    return msgspec.json.encode(topic.params, order="deterministic")


def encode_messages(messages: tuple[Message, ...]) -> bytes:
    """A JSON array of messages."""
    return b"[" + b",".join(map(encode_message, messages)) + b"]"
