"""``[channels.NAME]``: a channel without any code.

Rule: what comes out is the same value that Python definitions and an app's
registry come to, so nothing behind knows the difference.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from takotwist.core.channel import (
    ChannelDefinition,
    Credentials,
    Defined,
    Lifecycle,
    NewestRules,
)
from takotwist.core.params import Params, PayloadSchema
from takotwist.errors import DefinitionError
from takotwist.server.config.kind import Flag, Kind, Listed, Table, Text, Unfit, Whole
from takotwist.server.config.lifecycle import LifecycleDefaults, over
from takotwist.server.config.problems import did_you_mean
from takotwist.server.config.setting import Key, keys_of, setting

_HEADER = Text(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", "a header or cookie name")
_TYPES = ("boolean", "integer", "number", "string")


@attrs.frozen(slots=True)
class Auth(Kind):
    """Header or cookie that carries the credentials; false where none is needed."""

    word = "table or false"

    @property
    def allowed(self) -> str:
        return (
            'false, or a table such as { header = "authorization" } with header, cookie,'
            " access_token (true or false)"
        )

    def read(self, value: object, folder: Path) -> Credentials | None:
        if value is False:
            return None
        if not isinstance(value, dict) or not value or value.keys() - _AUTH_KINDS.keys():
            raise self.refuse(value)
        said = {}
        for name, one in value.items():
            try:
                said[name] = _AUTH_KINDS[name].read(one, folder)
            except Unfit as unfit:
                raise Unfit(f"has {name}, which {unfit.needs}", unfit.value) from None
        header = said.get("header")
        # The query stands for the header, so with it alone there is one.
        if header is None and said.get("access_token"):
            header = "authorization"
        return Credentials(
            header_name=header.lower() if header else None,
            cookie_name=said.get("cookie"),
            query_token=said.get("access_token", False),
        )


_AUTH_KINDS: dict[str, Kind] = {"header": _HEADER, "cookie": _HEADER, "access_token": Flag()}


@attrs.frozen(slots=True)
class NewestKind(Kind):
    """Kind of the setting that keeps the newest message of each key, and names the key."""

    word = "boolean, text or table"

    @property
    def allowed(self) -> str:
        return (
            'true, false, the name of a field, or a table such as { key = "symbol",'
            " max_keys = 1000 } with key, max_keys, conflate (true or false)"
        )

    def read(self, value: object, folder: Path) -> NewestRules | None:
        if value is False:
            return None
        table = value
        if value is True:
            table = {}
        elif isinstance(value, str):
            table = {"key": value}
        if not isinstance(table, dict) or table.keys() - _NEWEST_KINDS.keys():
            raise self.refuse(value)
        said = {}
        for name, one in table.items():
            try:
                said[name] = _NEWEST_KINDS[name].read(one, folder)
            except Unfit as unfit:
                raise Unfit(f"has {name}, which {unfit.needs}", unfit.value) from None
        return NewestRules(**said)


_NEWEST_KINDS: dict[str, Kind] = {
    "key": Text(),
    "max_keys": Whole(*NewestRules.MAX_KEYS),
    "conflate": Flag(),
}


@attrs.frozen(kw_only=True)
class ChannelKeys:
    """The keys of one channel, beside those of ``[lifecycle]``."""

    public: bool = setting(
        Flag(),
        False,
        "Whether anyone may subscribe. If not, the app at app.url is asked, or a token counts"
        " (tokens.channels).",
    )
    params: dict[str, object] = setting(
        Table(),
        {},
        'The params: a JSON Schema of type object, or in short { roomId = "string",'
        ' limit = "integer?" }, where ? is optional and a table is a schema.',
    )
    messages: dict[str, object] = setting(
        Table(),
        {},
        "Message types and the JSON Schema of each one's data (true: any). Empty: any type.",
    )
    auth: Credentials | None = setting(
        Auth(),
        None,
        "Where a request carries its credentials; false where it carries none.",
        derived='{ header = "authorization" } where the channel is not public, else false',
    )
    websocket: bool = setting(
        Flag(), False, "Whether clients may send; the app decides about each frame."
    )
    forward_unhandled: bool = setting(
        Flag(), False, "Whether clients may send and what no handler takes is published as sent."
    )
    partition_by: tuple[str, ...] | None = setting(
        Listed(Text()), None, "The params that make the topic.", derived="all of them"
    )
    newest: NewestRules | None = setting(
        NewestKind(),
        None,
        "Whether the newest message of each key is kept, and no other; a text names the field of"
        " data that is the key.",
        derived="false",
    )


#: Every key of a channel, by name.
CHANNEL_KEYS: dict[str, Key] = {
    key.name: key
    for key in (
        *keys_of(ChannelKeys, "channels.NAME"),
        *(
            Key(
                "channels.NAME",
                key.name,
                None,
                attrs.evolve(key.setting, derived=f"lifecycle.{key.name}"),
            )
            for key in keys_of(LifecycleDefaults, "lifecycle")
        ),
    )
}


def read_channel(
    name: str,
    table: object,
    *,
    place: str,
    folder: Path,
    app_url: str | None,
    default: Lifecycle,
    by_token: Callable[[str], bool] = lambda channel: False,
) -> tuple[Defined | None, list[tuple[str, str]]]:
    """One channel of the file.

    :param place: the file, for the errors that come later.
    :param default: what holds where the channel says nothing.
    :param by_token: tells whether tokens decide about a channel.
    :return: the channel, or `None` and what is wrong: dotted key and reason.
    """
    dotted = f"channels.{name}"
    if not isinstance(table, dict):
        return None, [(dotted, f"must be a table: [{dotted}]")]
    wrong: list[tuple[str, str]] = []
    said: dict[str, object] = {}
    for key, value in table.items():
        if key not in CHANNEL_KEYS:
            wrong.append((f"{dotted}.{key}", f"is unknown{did_you_mean(key, CHANNEL_KEYS)}"))
            continue
        try:
            said[key] = CHANNEL_KEYS[key].setting.kind.read(value, folder)
        except Unfit as unfit:
            wrong += [(f"{dotted}.{key}", sentence) for sentence in unfit.sentences()]
    if wrong:
        return None, wrong
    try:
        definition = _definition(name, said, app_url, default, by_token(name))
    except DefinitionError as bad:
        return None, [(dotted, bad.reason)]
    asks = definition.verified or definition.handlers is None
    return Defined(definition, f"{place} [{dotted}]", local=not asks), []


def _definition(
    name: str, said: dict[str, Any], app_url: str | None, default: Lifecycle, by_token: bool
) -> ChannelDefinition:
    public = said.get("public", False)
    websocket = said.get("websocket", False)
    if app_url is None:
        if not (public or by_token):
            raise DefinitionError(
                "must say public = true, or app.url must say which app to ask, or tokens.channels"
                " must name it"
            )
        if websocket and not said.get("forward_unhandled"):
            raise DefinitionError(
                "has websocket and nobody who takes its frames: set app.url, or"
                " forward_unhandled = true to publish them as sent"
            )
    if public and said.get("auth"):
        raise DefinitionError("is public, so it cannot have auth")
    credentials = None if public else Credentials(header_name="authorization")
    return ChannelDefinition(
        name=name,
        params=Params.of(_params(said.get("params", {}))),
        messages={
            word: _payload(word, document) for word, document in said.get("messages", {}).items()
        },
        credentials=said.get("auth", credentials),
        verified=not public,
        handlers=None if websocket and app_url is not None else frozenset(),
        forward_unhandled=said.get("forward_unhandled", False),
        partition_by=said.get("partition_by"),
        newest=said.get("newest"),
        lifecycle=over(default, said),
    )


def _payload(type: str, document: object) -> PayloadSchema:
    if not isinstance(document, (bool, dict)):
        raise DefinitionError(f"message {type!r} must be a JSON Schema table, or true for any data")
    return PayloadSchema.of(document, type)


def _params(table: dict[str, object]) -> dict[str, object]:
    """The JSON Schema of params that may be written in short."""
    if table.get("type") == "object" or isinstance(table.get("properties"), dict):
        return {"type": "object", **table}
    properties: dict[str, object] = {}
    required: list[str] = []
    for name, value in table.items():
        optional = False
        if isinstance(value, str):
            optional = value.endswith("?")
            value = {"type": value.removesuffix("?")}
            if value["type"] not in _TYPES:
                raise DefinitionError(
                    f"param {name!r} must be {', '.join(_TYPES)} (a ? after it: optional) or a"
                    f" table with its JSON Schema, not {value['type']!r}"
                )
        elif isinstance(value, dict):
            optional = "default" in value
        else:
            raise DefinitionError(f"param {name!r} must be a type's name or a JSON Schema table")
        properties[name] = value
        if not optional:
            required.append(name)
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
