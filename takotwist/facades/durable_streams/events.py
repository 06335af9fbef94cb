"""A stream as an event stream: ``data`` events, each with a ``control`` event behind it."""

from __future__ import annotations

import re
import struct
from base64 import b64encode
from collections.abc import Iterator

import msgspec

from takotwist.codecs.wire_forms import WireForm
from takotwist.core.durable_stream import End, Spec, offset_of
from takotwist.core.stream_change import joined
from takotwist.core.topic import Message

#: What a parser takes for the end of a line.
_LINE_END = re.compile(rb"\r\n|\r|\n")

_HEAD = struct.Struct("!QHI")


def _framed(message: Message) -> bytes:
    kind = message.type.partition(" ")[0].encode()
    return _HEAD.pack(message.id, len(kind), len(message.data)) + kind + message.data


#: Messages of a stream on their way to one of its readers.
FORM = WireForm("durable stream", _framed)


def messages(blob: bytes) -> Iterator[tuple[int, str, bytes]]:
    """Split a blob of `FORM` into messages: id, kind and data."""
    at = 0
    while at < len(blob):
        number, kind, size = _HEAD.unpack_from(blob, at)
        at += _HEAD.size
        yield number, blob[at : at + kind].decode(), blob[at + kind : at + kind + size]
        at += kind + size


def data_event(spec: Spec, chunks: list[bytes], to: int) -> bytes:
    """One event with chunks of a stream.

    :param to: where a reader is that has it.
    """
    data = joined(spec, chunks)
    if not spec.is_text:
        data = b64encode(data)
    elif not data.isascii():
        # A chunk may end within a character; what is no text goes as what stands for it.
        data = data.decode("utf-8", "replace").encode()
    lines = _LINE_END.split(data)
    # A parser takes one space off a line.
    said = [b"data:" + (b" " + one if one.startswith(b" ") else one) for one in lines]
    return _id(to, spec) + b"event: data\n" + b"\n".join(said) + b"\n\n"


def control_event(
    spec: Spec,
    to: int,
    cursor: str | None,
    *,
    up_to_date: bool,
    ended: bool,
    end: End | None = None,
) -> bytes:
    """The event that gives the reader's position.

    :param cursor: `None` where nobody needs one any more.
    :param end: how it ended, where that is known.
    """
    offset = offset_of(to)
    said: dict[str, object] = {"streamNextOffset": offset}
    if cursor is not None:
        said["streamCursor"] = cursor
    if up_to_date:
        said["upToDate"] = True
    if ended:
        said["streamClosed"] = True
    if end is not None:
        said["streamEnd"] = end.how
        if end.reason:
            said["streamEndReason"] = end.reason
    return _id(to, spec) + b"event: control\ndata:" + msgspec.json.encode(said) + b"\n\n"


def _id(to: int, spec: Spec) -> bytes:
    """A place, for a browser that comes back with it by itself; of streamed messages alone."""
    return b"" if spec.about is None else b"id: %b\n" % offset_of(to).encode()
