"""The registry of an app elsewhere: its definitions as JSON (protocol, section 9).

``channel``, ``paramsSchema``, ``auth`` and ``transport`` are the original
system's; lifecycle, ``messages``, ``presence``, ``newest``, ``state``, ``partitionBy`` and
``queryToken`` are additions that an app may leave out.  Rule: a registry is read as a whole or
not at all, so a server never runs with half of an app's channels.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import attrs
import msgspec

from takotwist.core.channel import (
    ChannelDefinition,
    Credentials,
    Lifecycle,
    NewestRules,
    PresenceRules,
    StateRules,
)
from takotwist.core.json_values import Json, JsonObject
from takotwist.core.params import Params, PayloadSchema, Schema
from takotwist.errors import BodyInvalid, DefinitionError

#: Most definitions that one app may have.
MAX_DEFINITIONS = 10_000

#: The header that carries credentials where an app names none (protocol, section 3).
DEFAULT_HEADER = "authorization"


class _Auth(msgspec.Struct, rename="camel", omit_defaults=True):
    header_name: str | Literal[False] | None = None
    cookie_name: str | None = None
    query_token: bool = False


_HOOKS: tuple[Literal["join"], Literal["leave"]] = ("join", "leave")


class _Presence(msgspec.Struct, rename="camel", omit_defaults=True):
    info_schema: dict[str, Json] | bool | None = None
    state_schema: dict[str, Json] | bool | None = None
    grace_ms: int = 10_000
    max_members: int = 1_000
    events: bool = True
    count: bool = False
    hooks: list[Literal["join", "leave"]] = []


class _Newest(msgspec.Struct, rename="camel", omit_defaults=True):
    key: str | None = None
    max_keys: int = 1_000
    conflate: bool = False


class _State(msgspec.Struct, rename="camel", omit_defaults=True):
    schema: dict[str, Json] | bool | None = None


class _Entry(msgspec.Struct, rename="camel", omit_defaults=True):
    channel: str
    auth: Literal[False] | _Auth
    params_schema: dict[str, Json] | None = None
    transport: str | None = None
    messages: dict[str, dict[str, Json] | bool] | None = None
    partition_by: list[str] | None = None
    presence: _Presence | None = None
    newest: _Newest | None = None
    state: _State | None = None
    replay_window_ms: int | None = None
    inactivity_ttl_ms: int | None = None
    keepalive_interval_ms: int | None = None
    max_connection_lifetime_ms: int | None = None
    replay_max_messages: int | None = None
    replay_max_bytes: int | None = None


def read_registry(body: bytes) -> tuple[ChannelDefinition, ...]:
    """:raises BodyInvalid: it is none; names the channel or the field."""
    try:
        entries = msgspec.json.decode(body, type=list[_Entry])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise BodyInvalid(f"the registry: {bad}") from None
    if len(entries) > MAX_DEFINITIONS:
        raise BodyInvalid(f"the registry has {len(entries)} channels, over {MAX_DEFINITIONS}")
    try:
        return tuple(map(_definition, entries))
    except DefinitionError as bad:
        raise BodyInvalid(f"the registry: {bad}") from None


def _definition(entry: _Entry) -> ChannelDefinition:
    try:
        lifecycle = {
            name: value for name in Lifecycle.BOUNDS if (value := getattr(entry, name)) is not None
        }
        return ChannelDefinition(
            name=entry.channel,
            params=Params.none() if entry.params_schema is None else Params.of(_object(entry)),
            messages={
                key: PayloadSchema.of(schema, key) for key, schema in (entry.messages or {}).items()
            },
            credentials=_credentials(entry.auth) if entry.auth else None,
            verified=entry.auth is not False,
            # The app alone knows which types it handles, so it is asked about each frame.
            handlers=None if entry.transport == "ws" else frozenset(),
            partition_by=None if entry.partition_by is None else tuple(entry.partition_by),
            lifecycle=Lifecycle(**lifecycle),
            presence=None if entry.presence is None else _rules(entry.presence),
            newest=None
            if entry.newest is None
            else NewestRules(**msgspec.structs.asdict(entry.newest)),
            state=None if entry.state is None else _state_rules(entry.state),
            said=frozenset(lifecycle),
        )
    except DefinitionError as bad:
        raise DefinitionError(bad.reason, place=f"channel {entry.channel!r}") from None


def _state_rules(said: _State) -> StateRules:
    if said.schema is None:
        return StateRules()
    return StateRules(schema=PayloadSchema(Schema.of(said.schema, "the schema of the state")))


def _rules(said: _Presence) -> PresenceRules:
    def schema(document: dict[str, Json] | bool | None, what: str) -> PayloadSchema | None:
        return None if document is None else PayloadSchema(Schema.of(document, what))

    return PresenceRules(
        info=schema(said.info_schema, "the schema of presence info"),
        state=schema(said.state_schema, "the schema of presence state"),
        grace_ms=said.grace_ms,
        max_members=said.max_members,
        events=said.events,
        counts_all=said.count,
        hooks=frozenset(said.hooks),
    )


def _state(rules: StateRules) -> _State:
    return _State(None if rules.schema is None else dict(rules.schema.schema.document))


def _presence(rules: PresenceRules) -> _Presence:
    def document(schema: PayloadSchema | None) -> Json:
        return None if schema is None else schema.schema.document

    return _Presence(
        document(rules.info),
        document(rules.state),
        rules.grace_ms,
        rules.max_members,
        rules.events,
        rules.counts_all,
        [kind for kind in _HOOKS if kind in rules.hooks],
    )


def _object(entry: _Entry) -> JsonObject:
    # An empty schema is how some apps say that there are no params.
    return entry.params_schema or {"type": "object", "properties": {}}


def _credentials(auth: _Auth) -> Credentials | None:
    header = auth.header_name
    if header is None and auth.cookie_name is None:
        header = DEFAULT_HEADER
    if not header and auth.cookie_name is None and not auth.query_token:
        return None
    return Credentials(
        header_name=header.lower() if header else None,
        cookie_name=auth.cookie_name,
        query_token=auth.query_token,
    )


def write_registry(definitions: Iterable[ChannelDefinition]) -> bytes:
    """The answer of an app that serves these."""
    return msgspec.json.encode(list(map(_entry, definitions)))


def _entry(definition: ChannelDefinition) -> _Entry:
    lifecycle = {name: getattr(definition.lifecycle, name) for name in definition.said}
    return _Entry(
        channel=definition.name,
        auth=_auth(definition),
        params_schema=dict(definition.params.schema.document),
        transport="ws" if definition.bidirectional else None,
        messages={
            key: dict(payload.schema.document) for key, payload in definition.messages.items()
        }
        or None,
        presence=None if definition.presence is None else _presence(definition.presence),
        newest=None if definition.newest is None else _Newest(**attrs.asdict(definition.newest)),
        state=None if definition.state is None else _state(definition.state),
        partition_by=(None if definition.partition_by is None else list(definition.partition_by)),
        **lifecycle,
    )


def _auth(definition: ChannelDefinition) -> Literal[False] | _Auth:
    credentials = definition.credentials
    if not definition.verified:
        return False
    if credentials is None:
        return _Auth(header_name=False)
    # A cookie alone needs no word on the header: naming one is naming both.
    header = credentials.header_name
    if header is None and credentials.cookie_name is None:
        return _Auth(header_name=False, query_token=credentials.query_token)
    return _Auth(header, credentials.cookie_name, credentials.query_token)
