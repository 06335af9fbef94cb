"""Values that JSON cannot carry, found before anything is sent, and their place.

Encoders raise without a place, or quietly send something else: ``null`` for NaN, a list
for a set, base64 for bytes.  Rule: what arrives is what was given.  Typed values, such as
a msgspec Struct with a field of bytes, are not looked into: their declaration says what
they are on the wire.
"""

from __future__ import annotations

import math
from collections.abc import Callable

#: JSON nested deeper than this is refused; parsers of clients fail on it anyway.
MAX_DEPTH = 200

#: Python's own errors of an encoder.
ENCODING_ERRORS = (TypeError, ValueError, OverflowError, RecursionError)


def fault_in(value: object, place: str) -> str | None:
    """Why plain `value` would not arrive as it is, with its place; `None` where it would.

    :param place: what `value` is called, such as ``data``.
    """
    found = _fault(value, MAX_DEPTH, None)
    return None if found is None else _sentence(place, *found)


def failed_in(
    value: object, place: str, encode: Callable[[object], object], failure: Exception
) -> str:
    """Why `encode` failed on `value`, with its place.

    :param encode: what failed with `failure`, for the parts of `value`.
    """
    found = _fault(value, MAX_DEPTH, encode)
    return _sentence(place, *(found or ("", _reason(failure))))


def _sentence(place: str, path: str, reason: str) -> str:
    return f"{place}{path if len(path) <= 100 else f'{path[:97]}...'}: {reason}"


def _fault(
    value: object, levels: int, encode: Callable[[object], object] | None
) -> tuple[str, str] | None:
    if isinstance(value, str):
        return None if is_text(value) else ("", "half of a surrogate pair is no text")
    if isinstance(value, float):
        return None if math.isfinite(value) else ("", "NaN and Infinity have no JSON form")
    if isinstance(value, dict):
        if levels == 0:
            return "", f"it is nested deeper than {MAX_DEPTH} levels, or holds itself"
        for key, item in value.items():
            if isinstance(key, str) and not is_text(key):
                return "", f"the key {key!r} is no text"
            found = _fault(item, levels - 1, encode)
            if found is not None:
                return f".{key}{found[0]}", found[1]
    elif isinstance(value, list | tuple):
        if levels == 0:
            return "", f"it is nested deeper than {MAX_DEPTH} levels, or holds itself"
        for index, item in enumerate(value):
            found = _fault(item, levels - 1, encode)
            if found is not None:
                return f"[{index}]{found[0]}", found[1]
    elif isinstance(value, set | frozenset | bytes | bytearray | memoryview):
        return "", f"JSON has no form for {type(value).__name__}"
    elif encode is not None:
        try:
            encode(value)
        except ENCODING_ERRORS as failed:
            return "", _reason(failed)
    return None


def is_text(value: str) -> bool:
    """`True` where `value` has a form in UTF-8: half of a surrogate pair has none."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _reason(failure: Exception) -> str:
    if isinstance(failure, UnicodeEncodeError):
        # Its own text holds the whole of what it could not encode.
        return "half of a surrogate pair is no text"
    if isinstance(failure, RecursionError):
        return f"it is nested deeper than {MAX_DEPTH} levels, or holds itself"
    return str(failure) or type(failure).__name__
