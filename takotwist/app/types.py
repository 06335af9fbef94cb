"""Types of an app: declarations of params and payloads, and the arguments of its functions.

A declaration is a type or a JSON Schema.  Either way there is a JSON Schema for the wire and
a reader that makes typed values of JSON.  Rule: the wire decides.  A value is checked against
the schema as JSON, before and after it was Python, so that both sides mean the same.

The arguments of the app's own functions hold what the app needs to decide and nothing of the
connection, so the same function serves in process and over HTTP.

A failure of the app's code becomes text for a log.  Rule: only the app's own frames, no
values of variables, and none of the credentials of the request, even where the app put one
into its message.
"""

from __future__ import annotations

import math
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

import attrs
import msgspec

from takotwist.core.authorization import HeaderCredential, Operation
from takotwist.core.json_values import Json, JsonObject
from takotwist.errors import DefinitionError


class DoesNotFit(Exception):
    """A JSON value that the schema let through is refused by the type itself.

    :ivar path: parts below the value's root, such as ``.items[0]``; may be empty.
    :ivar reason: why, in the words of the type's library.
    """

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}" if path else reason)


class Declared(Protocol):
    """One declaration.

    :ivar document: its JSON Schema.
    :ivar wire_names: Python field name -> name on the wire, for a type with fields.
    """

    @property
    def document(self) -> JsonObject: ...

    @property
    def wire_names(self) -> Mapping[str, str]: ...

    def read(self, data: bytes) -> Any:
        """The typed value of `data`, one JSON value.  :raises DoesNotFit: it has none."""

    def accept(self, value: object) -> object:
        """The same of what JSON was read to, with dates and bytes in it as Python has them."""


@attrs.frozen(slots=True)
class SchemaOnly:
    """A JSON Schema; values stay what JSON makes of them."""

    document: JsonObject
    wire_names: Mapping[str, str] = attrs.field(factory=dict)

    def read(self, data: bytes) -> Any:
        return msgspec.json.decode(data)

    def accept(self, value: object) -> object:
        return value


@attrs.frozen(slots=True)
class NativeType:
    """A msgspec Struct, dataclass, attrs class, TypedDict or plain Python type."""

    document: JsonObject
    wire_names: Mapping[str, str]
    _decoder: msgspec.json.Decoder[object]

    @classmethod
    def of(cls, kind: object) -> NativeType:
        """:raises TypeError: `kind` is nothing that JSON can carry."""
        info = msgspec.inspect.type_info(kind)
        names = {field.name: field.encode_name for field in getattr(info, "fields", ())}
        return cls(_flattened(msgspec.json.schema(kind)), names, msgspec.json.Decoder(kind))

    def read(self, data: bytes) -> Any:
        try:
            return self._decoder.decode(data)
        except msgspec.ValidationError as misfit:
            raise _misfit(misfit) from None

    def accept(self, value: object) -> object:
        try:
            return msgspec.convert(value, self._decoder.type, str_keys=True)
        except msgspec.ValidationError as misfit:
            raise _misfit(misfit) from None


@attrs.frozen(slots=True)
class PydanticType:
    """A pydantic model, or anything else that pydantic has a validator for.

    Never imports pydantic: a type of it can only come from where it is loaded.
    """

    document: JsonObject
    wire_names: Mapping[str, str]
    _adapter: Any

    @classmethod
    def of(cls, kind: object) -> PydanticType:
        adapter = sys.modules["pydantic"].TypeAdapter(kind)
        fields = getattr(kind, "model_fields", None) or getattr(kind, "__pydantic_fields__", {})
        names = {name: _pydantic_alias(name, field) for name, field in fields.items()}
        return cls(_flattened(adapter.json_schema(by_alias=True)), names, adapter)

    def read(self, data: bytes) -> Any:
        # As JSON and not as Python objects: a strict model takes a date's text only from JSON.
        return self._valid(self._adapter.validate_json, data)

    def accept(self, value: object) -> object:
        return self._valid(self._adapter.validate_python, value)

    @staticmethod
    def _valid(validate: Callable[[object], object], value: object) -> object:
        try:
            return validate(value)
        except sys.modules["pydantic"].ValidationError as misfit:
            first = misfit.errors(include_url=False, include_context=False)[0]
            path = "".join(
                f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]
            )
            raise DoesNotFit(path, first["msg"]) from None


def _misfit(error: msgspec.ValidationError) -> DoesNotFit:
    reason, _, path = str(error).partition(" - at `$")
    return DoesNotFit(path.rstrip("`"), reason)


def declare(kind: object, what: str) -> Declared:
    """Understand a declaration.

    :param kind: a msgspec Struct, dataclass, attrs class, TypedDict, pydantic model,
        plain Python type, or a JSON Schema as a mapping.
    :param what: what it is for, named in the error.
    :raises DefinitionError: when there is no JSON Schema for it.
    """
    if isinstance(kind, Mapping):
        return SchemaOnly(kind)
    try:
        return PydanticType.of(kind) if _is_pydantic(kind) else NativeType.of(kind)
    except DefinitionError:
        raise
    except Exception as unusable:
        # Three libraries raise what they like here, and each message names the field.
        raise DefinitionError(f"{what} cannot be made into a JSON Schema: {unusable}") from None


def to_json(value: object) -> bytes:
    """One JSON value of typed or plain Python, UTF-8.

    :raises ValueError: NaN or Infinity (protocol, section 2).
    :raises TypeError: JSON has no form for it.
    """
    data = msgspec.json.encode(value, enc_hook=_dump_model)
    # msgspec writes NaN and Infinity as null, which would change the message unseen.
    if b"null" in data and _has_non_finite(msgspec.to_builtins(value, enc_hook=_dump_model)):
        raise ValueError("NaN and Infinity have no JSON form")
    return data


def to_builtins(value: object) -> Any:
    """`value` as JSON would carry it: mappings, lists, text, numbers, booleans, `None`."""
    return msgspec.json.decode(to_json(value))


def _dump_model(value: object) -> object:
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json", by_alias=True)
    raise TypeError(f"JSON has no form for {type(value).__name__!r}")


def _has_non_finite(value: object) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_has_non_finite, value.values()))
    return isinstance(value, list | tuple) and any(map(_has_non_finite, value))


def _is_pydantic(kind: object) -> bool:
    return "pydantic" in sys.modules and any(
        hasattr(kind, mark) for mark in ("__pydantic_validator__", "__pydantic_core_schema__")
    )


def _pydantic_alias(name: str, field: object) -> str:
    alias = getattr(field, "validation_alias", None) or getattr(field, "alias", None)
    choices = getattr(alias, "choices", None)
    alias = choices[0] if choices else alias
    return alias if isinstance(alias, str) else name


def _flattened(document: dict[str, Json]) -> dict[str, Json]:
    """A schema that begins with the type itself, not with a reference to it."""
    reference = document.get("$ref", "")
    definitions = document.get("$defs", {})
    name = str(reference).removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")
    if not reference or name not in definitions:
        return document
    # The definitions stay where any of them may refer to another.
    kept = definitions if b'"$ref"' in msgspec.json.encode(definitions) else {}
    rest = {key: value for key, value in document.items() if key not in ("$ref", "$defs")}
    return {**definitions[name], **rest, **({"$defs": kept} if kept else {})}


_OURS = str(Path(__file__).resolve().parent.parent)

#: Frames that begin every traceback here and tell nothing of the app.
_CARRIERS = (
    "/twisted/internet/",
    "/twisted/python/",
    "/twisted/_threads/",
    "/asyncio/",
    "/concurrent/futures/",
)


def failure_text(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """The traceback of `error`, from the app's first frame on.

    :param secrets: texts to be blotted out.
    """
    lines = traceback.format_exception(type(error), error, _app_part(error.__traceback__))
    text = "".join(lines).rstrip()
    for secret in secrets:
        # A secret of a letter or two hides nothing and would blot out every word.
        if len(secret) > 3:
            text = text.replace(secret, "[credential]")
    return text


def _app_part(trace: TracebackType | None) -> TracebackType | None:
    step = trace
    while step is not None and _is_carrier(step.tb_frame.f_code.co_filename):
        step = step.tb_next
    return step


def _is_carrier(filename: str) -> bool:
    return filename.startswith(_OURS) or any(part in filename for part in _CARRIERS)


P = TypeVar("P")


@attrs.frozen(slots=True, kw_only=True)
class VerifyRequest(Generic[P]):
    """One question to a channel's `verify`: may this one do that here?

    :ivar channel: the channel's name.
    :ivar operation: ``subscribe`` (to listen), ``connect`` (to a channel with handlers,
        where one may also speak), ``publish`` (asked once, when the first frame of a client
        comes) or ``history``; ``call`` of a function; ``create``, ``append``, ``read`` and
        ``delete`` where this is the channel of durable streams.
    :ivar params: the validated params, as the declared type; a mapping where
        they were declared by a JSON Schema or not at all.
    :ivar header: the declared header, split into ``scheme`` and ``value``, or
        `None` where the request has none.
    :ivar cookie: the declared cookie's value, or `None`.
    """

    channel: str
    operation: Operation
    params: P
    header: HeaderCredential | None = None
    cookie: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(slots=True, kw_only=True)
class Context(Generic[P]):
    """Around a client's frame, for the handler of its type.

    :ivar channel: the channel's name.
    :ivar type: the frame's type.
    :ivar params: the connection's validated params, as the declared type.
    :ivar subject: who sent it, as `verify` said; `None` on a public channel.
    :ivar operation: ``publish``, so that one function can hold the rules for `verify` and
        for handlers.
    """

    channel: str
    type: str
    params: P
    subject: str | None = None
    operation: Operation = "publish"
