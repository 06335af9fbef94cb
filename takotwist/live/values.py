"""Codec of values: JSON, with dates and bytes marked beside it.

JSON has no form for dates and bytes: in it a date is its ISO text and bytes are base64,
and a *mark* says so: its kind, and its path (protocol, live objects, section 2).  Rule:
what JSON would change unseen is refused with its place.
Rejected: marks inside the data, which every text and every object would have to be told
apart from.
"""

from __future__ import annotations

import math
import sys
from base64 import b64decode
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

import attrs
import msgspec

from takotwist.app.types import Declared
from takotwist.core.json_values import Json

#: The whole numbers that JavaScript reads as they are.
SAFE = 2**53 - 1

_BYTES = (bytes, bytearray, memoryview)
_UNCHANGED = frozenset({str, bool, type(None)})


class Encoded(NamedTuple):
    """A value on its way.

    :ivar data: JSON text.
    :ivar values: its marks, as JSON text; empty where there are none.
    """

    data: bytes
    values: bytes = b""


#: The absence of a value.
NOTHING = Encoded(b"")


class Mark(msgspec.Struct, frozen=True):
    """The place of a date or of bytes.

    :ivar path: keys and indices from the root of the data.
    """

    path: list[str | int]
    kind: Literal["date", "bytes"]


_MARKS = msgspec.json.Decoder(list[Mark])


def read_marks(values: bytes) -> Sequence[Mark]:
    """:raises ValueError: they cannot be read."""
    if not values:
        return ()
    try:
        return _MARKS.decode(values)
    except (msgspec.DecodeError, RecursionError) as bad:
        raise ValueError(f"values: {bad}") from None


def encode(value: object, what: str = "data") -> Encoded:
    """Encode a value for a page.

    :param what: its name in errors.
    :raises TypeError: :raises ValueError: JSON has no form for something in it, or would
        change it; names the place.
    """
    if type(value) in _UNCHANGED:
        return _written(value, value, (), what)
    try:
        plain = msgspec.to_builtins(
            value, enc_hook=dump_model, builtin_types=(datetime, *_BYTES), str_keys=True
        )
    except (TypeError, ValueError, RecursionError) as unusable:
        raise at_its_place(value, what, unusable) from None
    plain, marks = marked(plain, what)
    return _written(value, plain, marks, what)


def marked(plain: object, what: str) -> tuple[object, list[Mark]]:
    """Marks for the dates and bytes in mappings, lists and so on.

    :raises ValueError: JSON would change something; names the place.
    """
    marks: list[Mark] = []
    return _Marking(what, marks).walk(plain, []), marks


def marks_json(marks: Sequence[Mark]) -> bytes:
    """Encode marks, as they stand on the wire."""
    return msgspec.json.encode(marks) if marks else b""


def decode(data: bytes, marks: Sequence[Mark], declared: Declared | None) -> object:
    """Decode a value of a page, as it is declared.

    :raises DoesNotFit: it is none.
    :raises ValueError: a mark is nothing of the data; or the data is no JSON.
    """
    if not marks:
        return msgspec.json.decode(data) if declared is None else declared.read(data)
    plain = put_back(msgspec.json.decode(data), marks)
    return plain if declared is None else declared.accept(plain)


def put_back(plain: object, marks: Sequence[Mark]) -> Json:
    """Put dates and bytes back where the marks say.

    :raises ValueError: a mark is nothing of the data.
    """
    root = [plain]
    for number, mark in enumerate(marks):
        parent: Json = root
        *keys, last = [0, *mark.path]
        try:
            for key in keys:
                parent = parent[key]
            parent[last] = _read(mark.kind, parent[last])
        except (KeyError, IndexError, TypeError, ValueError):
            raise ValueError(f"values[{number}]: there is no {mark.kind} at its path") from None
    return root[0]


def dump_model(value: object) -> object:
    """For `msgspec.to_builtins`: a model of pydantic, and what its fields may be."""
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        # In Python's mode, so that its dates and bytes are still what they are.
        return dump(by_alias=True)
    pydantic = sys.modules.get("pydantic_core")
    if pydantic is not None and type(value).__module__.startswith("pydantic"):
        return pydantic.to_jsonable_python(value)
    raise TypeError(f"JSON has no form for {type(value).__name__!r}")


@attrs.frozen(slots=True)
class _Marking:
    what: str
    marks: list[Mark]

    def walk(self, value: Json, path: list[str | int]) -> Json:
        """`value`, ready to be written as JSON, which msgspec makes ISO text and base64 in."""
        kind = type(value)
        if kind in _UNCHANGED:
            return value
        if kind is dict:
            for key, inner in value.items():
                if type(inner) not in _UNCHANGED:
                    value[key] = self.walk(inner, [*path, key])
        elif kind is list or kind is tuple:
            return [self.walk(inner, [*path, index]) for index, inner in enumerate(value)]
        elif kind is float:
            if not math.isfinite(value):
                raise ValueError(f"{place(self.what, path)}: NaN and Infinity have no JSON form")
        elif kind is int:
            if abs(value) > SAFE:
                raise ValueError(
                    f"{place(self.what, path)}: JavaScript would round {value}; send it as text"
                )
        elif isinstance(value, datetime):
            if value.utcoffset() is None:
                raise ValueError(
                    f"{place(self.what, path)}: a datetime without a time zone is no moment;"
                    " give it one, such as datetime.now(UTC)"
                )
            self.marks.append(Mark(path, "date"))
        elif isinstance(value, _BYTES):
            self.marks.append(Mark(path, "bytes"))
        return value


def _written(value: object, plain: object, marks: Sequence[Mark], what: str) -> Encoded:
    try:
        return Encoded(msgspec.json.encode(plain), marks_json(marks))
    except (TypeError, ValueError) as unusable:
        raise at_its_place(value, what, unusable) from None


def at_its_place(
    value: object, what: str, unusable: Exception, hook: Callable[[object], object] = dump_model
) -> Exception:
    """An error with the place of the value that cannot be encoded.

    :param hook: as of `msgspec.json.encode`.
    """
    path: list[str | int] = []
    inner = value
    while (found := _failing(inner, hook)) is not None:
        key, inner = found
        path.append(key)
    if isinstance(unusable, RecursionError):
        return ValueError(f"{what}: it contains itself, or is nested too deeply")
    if isinstance(unusable, UnicodeError):
        return ValueError(f"{place(what, path)}: half of a surrogate pair is no text")
    kind = TypeError if isinstance(unusable, TypeError) else ValueError
    return kind(f"{place(what, path)}: {unusable}")


def _failing(value: object, hook: Callable[[object], object]) -> tuple[str | int, object] | None:
    """The first part that cannot be written by itself."""
    parts: object
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    elif isinstance(value, msgspec.Struct):
        parts = msgspec.structs.asdict(value).items()
    elif hasattr(value, "__dict__") and not callable(value):
        parts = vars(value).items()
    else:
        return None
    for key, inner in parts:
        try:
            msgspec.json.encode(inner, enc_hook=hook)
        except RecursionError:
            return None
        except (TypeError, ValueError):
            return key, inner
    return None


def place(what: str, path: Sequence[str | int]) -> str:
    """Such as ``result.items[0].when``."""
    return what + "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in path)


def _read(kind: str, text: Json) -> Any:
    """:raises ValueError: :raises TypeError: it is none."""
    if kind == "bytes":
        return b64decode(text, validate=True)
    moment = datetime.fromisoformat(text)
    if moment.utcoffset() is None:
        raise ValueError("no time zone")
    return moment
