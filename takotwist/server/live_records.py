"""A publication of a durable broadcast, as it stands in the replay log.

Rule: what is stored is JSON, for whoever looks into the log; the bytes that members
are given are read out of it once for all of them.
"""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode
from collections.abc import Iterator

import msgspec

from takotwist.codecs.wire_forms import WireForm
from takotwist.core.topic import Draft, Message
from takotwist.live.broadcast.bus import Publication
from takotwist.live.broadcast.durable import Record
from takotwist.live.machine.frames import Info


class _Stored(msgspec.Struct, array_like=True):
    seq: int
    epoch: int
    data: msgspec.Raw
    values: msgspec.Raw = msgspec.Raw()


_STORED = msgspec.json.Decoder(_Stored)
_PLACE = struct.Struct("!IIBQQQ")


def draft_of(record: Record) -> Draft:
    """What is put into the log."""
    data = record.data
    if record.binary:
        data = msgspec.json.encode(b64encode(data).decode("ascii"))
    # Left out where there are none, as all were written once.
    values = [msgspec.Raw(record.values)] if record.values else []
    stored = [record.seq, record.epoch, msgspec.Raw(data), *values]
    return Draft("binary" if record.binary else "text", msgspec.json.encode(stored))


def place_of(message: Message) -> tuple[int, int]:
    """Epoch and seq of what was stored."""
    stored = _STORED.decode(message.data)
    return stored.epoch, stored.seq


def _framed(message: Message) -> bytes:
    stored = _STORED.decode(message.data)
    data, binary = bytes(stored.data), message.type == "binary"
    if binary:
        data = b64decode(msgspec.json.decode(data))
    values = bytes(stored.values)
    place = _PLACE.pack(len(data), len(values), binary, message.id, stored.seq, stored.epoch)
    return place + data + values


#: Publications ready to be given to members.
FORM = WireForm("live", _framed)


def publications(blob: bytes) -> Iterator[Publication]:
    """What was joined of `FORM`."""
    at = 0
    while at < len(blob):
        size, more, binary, cursor, seq, epoch = _PLACE.unpack_from(blob, at)
        at += _PLACE.size
        info = Info(seq, cursor // 1000, epoch, cursor)
        data, values = blob[at : at + size], blob[at + size : at + size + more]
        yield Publication(info, data, bool(binary), values)
        at += size + more
