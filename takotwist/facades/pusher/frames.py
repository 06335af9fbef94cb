"""Frames of the Pusher protocol, read and written.

Its trap: what the server says has its ``data`` as a string of JSON within JSON, and what is
triggered is a string too, which may be JSON or may not.  In the log stands a value (`stored`),
so that our own clients read an object and no string of one; `shown` is the way back.  Rule: a
string that was triggered comes out as the same string.
"""

from __future__ import annotations

import msgspec

from takotwist.codecs.tako_json import check_type, encode_value, payload
from takotwist.errors import BodyInvalid
from takotwist.facades.pusher.names import RESERVED_EVENTS

_ANY = msgspec.json.Decoder()

#: What stands in the place of an event that only the server may say, and somebody else has said.
HARMLESS = b'{"event":"pusher:pong","data":"{}"}'


class ClientFrame(msgspec.Struct):
    """Frame of a client."""

    event: str
    data: msgspec.Raw = msgspec.Raw()
    channel: str | None = None


_FRAME = msgspec.json.Decoder(ClientFrame)


def read_frame(text: bytes) -> ClientFrame:
    """:raises BodyInvalid: it is no frame."""
    try:
        return _FRAME.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise BodyInvalid(f"A frame must be {{'event','data'}}: {bad}") from None


def read_data(raw: msgspec.Raw) -> dict[str, object]:
    """The data of a frame about a channel: an object, or the same as a string.

    :raises BodyInvalid: it is neither.
    """
    try:
        value = _ANY.decode(raw) if raw else None
        if isinstance(value, str):
            value = _ANY.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BodyInvalid("data must be an object.")
    return value


def stored(data: str) -> bytes:
    """The value in the log of a string that was triggered."""
    try:
        value = _ANY.decode(data)
        # JSON of a string is a string like others: its quotes are part of what was triggered.
        return encode_value(data) if isinstance(value, str) else payload(data.encode())
    except (msgspec.DecodeError, UnicodeError, RecursionError, BodyInvalid):
        # Also what is deeper than the log takes.
        return encode_value(data)


def stored_value(raw: bytes) -> bytes:
    """The value in the log of what a client has sent: any JSON.

    :raises BodyInvalid: it is none.
    """
    if not raw:
        return b"null"
    value = payload(raw)
    decoded = _ANY.decode(value)
    return stored(decoded) if isinstance(decoded, str) else value


def shown(data: bytes) -> str:
    """Convert a value of the log to the string that a client of Pusher's is given."""
    if not data.startswith(b'"'):
        return data.decode()
    text: str = _ANY.decode(data)
    try:
        value = _ANY.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text
    # A string that reads as a number was published by one of ours, and is to stay a string.
    return text if isinstance(value, str) else data.decode()


def frame(event: str, data: object = None, channel: str | None = None) -> bytes:
    """A frame of the server's own, whose data is an object."""
    said: dict[str, object] = {"event": event}
    if channel is not None:
        said["channel"] = channel
    if data is not None:
        said["data"] = msgspec.json.encode(data).decode()
    return msgspec.json.encode(said)


def event_frame(channel: str, event: str, data: bytes, user_id: str | None = None) -> bytes:
    """An event of the channel.

    :param data: as it stands in the log.
    :param user_id: of the member of a presence channel who sent it.
    """
    if event.startswith(RESERVED_EVENTS):
        return HARMLESS
    said = {"event": event, "channel": channel, "data": shown(data)}
    if user_id is not None:
        said["user_id"] = user_id
    return msgspec.json.encode(said)


def error_frame(message: str, code: int | None = None, channel: str | None = None) -> bytes:
    """``pusher:error``, whose data is an object and no string, as Pusher has it."""
    said: dict[str, object] = {"event": "pusher:error", "data": {"message": message, "code": code}}
    if channel is not None:
        said["channel"] = channel
    return msgspec.json.encode(said)


def check_event(event: object) -> str:
    """The name of an event, as far as it may be triggered.

    :raises BodyInvalid: it may not.
    """
    if not isinstance(event, str):
        raise BodyInvalid("name must be a string.")
    check_type(event, "name")
    if event.startswith(RESERVED_EVENTS):
        raise BodyInvalid(f"name: {event.partition(':')[0]}: is for the server.")
    return event
