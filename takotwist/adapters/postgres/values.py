"""Values in PostgreSQL's binary form, as parameters and as columns.

Whole arrays are packed at once: psycopg's adapters make an object a value, which costs more
than storing it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

_INT4, _INT8, _TEXT, _BYTEA = 23, 20, 25, 17

_HEAD = struct.Struct(">iiI")
_DIMENSION = struct.Struct(">ii")
_LENGTH = struct.Struct(">i")
_BIG = struct.Struct(">q")
_NULL = _LENGTH.pack(-1)
_ITEMS_AT = _HEAD.size + _DIMENSION.size


def int8(value: int) -> bytes:
    """One ``bigint``."""
    return _BIG.pack(value)


def int4(value: int) -> bytes:
    """One ``integer``."""
    return _LENGTH.pack(value)


def boolean(value: bool) -> bytes:
    """One ``boolean``."""
    return b"\1" if value else b"\0"


def _array(kind: int, count: int, items: bytes, nulls: int = 0) -> bytes:
    if not count:
        return _HEAD.pack(0, 0, kind)
    return _HEAD.pack(1, nulls, kind) + _DIMENSION.pack(count, 1) + items


def int8s(values: Sequence[int]) -> bytes:
    """A ``bigint[]``."""
    count = len(values)
    pairs = [8] * (2 * count)
    pairs[1::2] = values
    return _array(_INT8, count, struct.pack(">" + "iq" * count, *pairs))


def int4s(values: Sequence[int]) -> bytes:
    """An ``integer[]``."""
    count = len(values)
    pairs = [4] * (2 * count)
    pairs[1::2] = values
    return _array(_INT4, count, struct.pack(f">{2 * count}i", *pairs))


def byteas(values: Sequence[bytes | None]) -> bytes:
    """A ``bytea[]``."""
    return _strings(_BYTEA, values)


def texts(values: Sequence[str]) -> bytes:
    """A ``text[]``."""
    return _strings(_TEXT, [value.encode() for value in values])


def _strings(kind: int, values: Sequence[bytes | None]) -> bytes:
    pack, parts = _LENGTH.pack, []
    nulls = 0
    for value in values:
        if value is None:
            nulls = 1
            parts.append(_NULL)
        else:
            parts.append(pack(len(value)))
            parts.append(value)
    return _array(kind, len(values), b"".join(parts), nulls)


def read_int8(value: bytes | None) -> int:
    """A ``bigint``; 0 for null."""
    if value is None:
        return 0
    number: int = _BIG.unpack(value)[0]
    return number


def read_int8s(value: bytes | None) -> tuple[int, ...]:
    """A ``bigint[]`` without nulls; empty for null."""
    if value is None or len(value) <= _HEAD.size:
        return ()
    [count, _] = _DIMENSION.unpack_from(value, _HEAD.size)
    return struct.unpack_from(">" + "4xq" * count, value, _ITEMS_AT)


def read_byteas(value: bytes | None) -> list[bytes]:
    """A ``bytea[]`` or ``text[]`` without nulls; empty for null."""
    if value is None or len(value) <= _HEAD.size:
        return []
    [count, _] = _DIMENSION.unpack_from(value, _HEAD.size)
    at, found = _ITEMS_AT, []
    for _ in range(count):
        [length] = _LENGTH.unpack_from(value, at)
        at += 4
        found.append(value[at : at + length])
        at += length
    return found
