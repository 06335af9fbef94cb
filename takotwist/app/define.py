"""`define_channel`: one call that says what a channel is.

Rule: whatever can be wrong with a definition is found here, when the app's
module is read, with an error that names the argument.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Literal, overload

from takotwist.app.channel import Channel
from takotwist.app.newest import Newest, newest_of
from takotwist.app.payloads import Payloads
from takotwist.app.presence import Presence, rules_of
from takotwist.app.type_parameters import M, Q
from takotwist.app.types import Declared, P, SchemaOnly, declare
from takotwist.core.channel import ChannelDefinition, Lifecycle
from takotwist.core.json_values import JsonObject
from takotwist.core.params import Params
from takotwist.errors import DefinitionError

#: A length of time: seconds, or a `timedelta`.
Duration = float | timedelta


# One for each way of declaring params (a class; a TypedDict, which is no class to every checker;
# a JSON Schema, or none), with payloads that are classes and with others.


@overload
def define_channel(
    name: str,
    *,
    params: Callable[Q, P],
    messages: Mapping[str, type[M]],
    partition_by: Iterable[str] | str | None = ...,
    forward_unhandled: bool = ...,
    presence: Presence | Literal["count"] | bool | None = ...,
    newest: Newest | str | bool | None = ...,
    replay_window: Duration | None = ...,
    inactivity_ttl: Duration | None = ...,
    keepalive_interval: Duration | None = ...,
    max_connection_lifetime: Duration | None = ...,
    replay_max_messages: int | None = ...,
    replay_max_bytes: int | None = ...,
) -> Channel[P, Q, M]: ...


@overload
def define_channel(
    name: str,
    *,
    params: Callable[Q, P],
    messages: Mapping[str, object] | None = ...,
    partition_by: Iterable[str] | str | None = ...,
    forward_unhandled: bool = ...,
    presence: Presence | Literal["count"] | bool | None = ...,
    newest: Newest | str | bool | None = ...,
    replay_window: Duration | None = ...,
    inactivity_ttl: Duration | None = ...,
    keepalive_interval: Duration | None = ...,
    max_connection_lifetime: Duration | None = ...,
    replay_max_messages: int | None = ...,
    replay_max_bytes: int | None = ...,
) -> Channel[P, Q, Any]: ...


@overload
def define_channel(
    name: str,
    *,
    params: type[P],
    messages: Mapping[str, type[M]],
    partition_by: Iterable[str] | str | None = ...,
    forward_unhandled: bool = ...,
    presence: Presence | Literal["count"] | bool | None = ...,
    newest: Newest | str | bool | None = ...,
    replay_window: Duration | None = ...,
    inactivity_ttl: Duration | None = ...,
    keepalive_interval: Duration | None = ...,
    max_connection_lifetime: Duration | None = ...,
    replay_max_messages: int | None = ...,
    replay_max_bytes: int | None = ...,
) -> Channel[P, ..., M]: ...


@overload
def define_channel(
    name: str,
    *,
    params: type[P],
    messages: Mapping[str, Any] | None = ...,
    partition_by: Iterable[str] | str | None = ...,
    forward_unhandled: bool = ...,
    presence: Presence | Literal["count"] | bool | None = ...,
    newest: Newest | str | bool | None = ...,
    replay_window: Duration | None = ...,
    inactivity_ttl: Duration | None = ...,
    keepalive_interval: Duration | None = ...,
    max_connection_lifetime: Duration | None = ...,
    replay_max_messages: int | None = ...,
    replay_max_bytes: int | None = ...,
) -> Channel[P, ..., Any]: ...


@overload
def define_channel(
    name: str,
    *,
    params: JsonObject | None = ...,
    messages: Mapping[str, type[M]],
    partition_by: Iterable[str] | str | None = ...,
    forward_unhandled: bool = ...,
    presence: Presence | Literal["count"] | bool | None = ...,
    newest: Newest | str | bool | None = ...,
    replay_window: Duration | None = ...,
    inactivity_ttl: Duration | None = ...,
    keepalive_interval: Duration | None = ...,
    max_connection_lifetime: Duration | None = ...,
    replay_max_messages: int | None = ...,
    replay_max_bytes: int | None = ...,
) -> Channel[JsonObject, ..., M]: ...


@overload
def define_channel(
    name: str,
    *,
    params: JsonObject | None = ...,
    messages: Mapping[str, object] | None = ...,
    partition_by: Iterable[str] | str | None = ...,
    forward_unhandled: bool = ...,
    presence: Presence | Literal["count"] | bool | None = ...,
    newest: Newest | str | bool | None = ...,
    replay_window: Duration | None = ...,
    inactivity_ttl: Duration | None = ...,
    keepalive_interval: Duration | None = ...,
    max_connection_lifetime: Duration | None = ...,
    replay_max_messages: int | None = ...,
    replay_max_bytes: int | None = ...,
) -> Channel[JsonObject, ..., Any]: ...


def define_channel(
    name: str,
    *,
    params: object = None,
    messages: Mapping[str, object] | None = None,
    partition_by: Iterable[str] | str | None = None,
    forward_unhandled: bool = False,
    presence: Presence | Literal["count"] | bool | None = None,
    newest: Newest | str | bool | None = None,
    replay_window: Duration | None = None,
    inactivity_ttl: Duration | None = None,
    keepalive_interval: Duration | None = None,
    max_connection_lifetime: Duration | None = None,
    replay_max_messages: int | None = None,
    replay_max_bytes: int | None = None,
) -> Channel[Any, ..., Any]:
    """Define a channel.  Keep the result in a variable of the module.

    Lengths of time are **seconds** (a number) or a `datetime.timedelta`; on the
    wire and in `Grant` they are whole milliseconds, with ``_ms`` in the name.

    :param name: the wire route, one path segment.
    :param params: what a connection is about, such as a room: a msgspec Struct,
        dataclass, attrs class, TypedDict, pydantic model, or a JSON Schema of type
        object.  Left out: the channel has no params.
    :param messages: message type -> its payload, declared like `params` (any type
        that JSON can carry).  Left out: any type, any payload.  Otherwise a type
        that is not in it is refused.  Several may be declared one by one, with
        `Channel.message`, which every type checker follows.
    :param partition_by: the params that make the topic; the others are passed to
        `verify` and the handlers only.  Left out: all of them.
    :param forward_unhandled: store and fan out clients' frames whose type has no handler.
    :param presence: who is here, for clients to see: a `Presence`, `True` for its defaults, or
        ``"count"`` for the number alone.  Left out: nobody is told of others.
    :param newest: keep the newest message of each key, and no others: a `Newest`, the name of
        the field that is the key, or `True` where publishers say it.  Left out: every message
        is kept for the replay window.
    :param replay_window: how far back a reconnect may reach.  Default 600 s; this and
        the five below may have other defaults in the server's ``[lifecycle]``.
    :param inactivity_ttl: drop a topic that is idle this long.  Default 0, never.
    :param keepalive_interval: between signs of life on an idle connection.  Default 25 s.
    :param max_connection_lifetime: a connection is ended after this.  Default 7200 s;
        0 is never.
    :param replay_max_messages: most messages kept a topic.  Default 10,000.
    :param replay_max_bytes: most bytes kept a topic.  Default 16 MiB.
    :raises DefinitionError: names the argument and what is allowed.
    """
    caller = sys._getframe(1)
    place = f"{caller.f_code.co_filename}:{caller.f_lineno}"
    lengths = {
        "replay_window": replay_window,
        "inactivity_ttl": inactivity_ttl,
        "keepalive_interval": keepalive_interval,
        "max_connection_lifetime": max_connection_lifetime,
    }
    counts = {"replay_max_messages": replay_max_messages, "replay_max_bytes": replay_max_bytes}
    lifecycle = {key: said for key, said in counts.items() if said is not None}
    for key, length in lengths.items():
        if length is not None:
            lifecycle[f"{key}_ms"] = _milliseconds(key, length)
    declared: Declared
    if params is None:
        declared, schema = SchemaOnly({}), Params.none()
    else:
        declared = declare(params, "params")
        schema = Params.of(declared.document)
    payloads = Payloads.of(name, messages or {})
    rules, info, state = rules_of(presence)
    definition = ChannelDefinition(
        name=name,
        params=schema,
        messages=dict(payloads.schemas),
        forward_unhandled=forward_unhandled,
        partition_by=_partition(partition_by, declared),
        lifecycle=Lifecycle(**lifecycle),
        presence=rules,
        newest=newest_of(newest, payloads),
        said=frozenset(lifecycle),
    )
    kinds = params if callable(params) else None
    return Channel(place, definition, declared, payloads, kinds, info=info, state=state)


def _milliseconds(name: str, said: Duration) -> int:
    seconds = said.total_seconds() if isinstance(said, timedelta) else said
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise DefinitionError(f"{name} must be seconds (a number) or a timedelta, not {said!r}")
    least, most = Lifecycle.BOUNDS[f"{name}_ms"]
    if not math.isfinite(seconds) or not least <= seconds * 1000 <= most:
        raise DefinitionError(
            f"{name} must lie from {least / 1000:g} to {most / 1000:.0f} seconds, not {said!r}"
        )
    return round(seconds * 1000)


def _partition(said: Iterable[str] | str | None, params: Declared) -> tuple[str, ...] | None:
    if said is None:
        return None
    names = (said,) if isinstance(said, str) else tuple(said)
    return tuple(params.wire_names.get(name, name) for name in names)
