"""Channel definitions as plain data, and the registry of them by name.

A definition comes from Python (`takotwist.define_channel`), from the configuration
file or from an app's registry; all three end as this value.

Rules: nothing callable in here; who calls the app's functions is an adapter.  One name,
one definition; whoever comes second is told who was first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

import attrs

from takotwist.core.params import Params, PayloadSchema
from takotwist.errors import ChannelUnknown, DefinitionError

#: Where a cursor may stand in a query, the first that is there and not empty counts.  What
#: an EventSource without headers adds to an address by itself is newer than what the
#: address may have had before.
CURSOR_QUERY_KEYS = (
    "lastEventId",
    "last-event-id",
    "Last-Event-ID",
    "last_event_id",
    "last_message_id",
)

#: Query keys that are never params (protocol, section 1).
RESERVED_QUERY_KEYS = frozenset({*CURSOR_QUERY_KEYS, "stale", "access_token"})

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:@-]{0,127}")

MINUTE_MS = 60_000


@attrs.frozen(slots=True, kw_only=True)
class Lifecycle:
    """Times and bounds of a channel's topics; times in milliseconds (protocol, section 6).

    :ivar replay_window_ms: how far back a cursor may reach.
    :ivar inactivity_ttl_ms: a topic idle this long is dropped; 0 is never.
    :ivar keepalive_interval_ms: SSE comment when idle, WebSocket ping.
    :ivar max_connection_lifetime_ms: a connection is ended after this; 0 is never.
    :ivar replay_max_messages: most messages kept a topic.
    :ivar replay_max_bytes: most bytes kept a topic.
    """

    replay_window_ms: int = 10 * MINUTE_MS
    inactivity_ttl_ms: int = 0
    keepalive_interval_ms: int = 25_000
    max_connection_lifetime_ms: int = 120 * MINUTE_MS
    replay_max_messages: int = 10_000
    replay_max_bytes: int = 16 * 2**20

    #: name -> (least, most) that a definition or a grant may say.
    BOUNDS: ClassVar = {
        "replay_window_ms": (0, 366 * 24 * 60 * MINUTE_MS),
        "inactivity_ttl_ms": (0, 366 * 24 * 60 * MINUTE_MS),
        "keepalive_interval_ms": (1_000, 60 * MINUTE_MS),
        "max_connection_lifetime_ms": (0, 30 * 24 * 60 * MINUTE_MS),
        "replay_max_messages": (1, 10_000_000),
        "replay_max_bytes": (1_024, 2**40),
    }

    def __attrs_post_init__(self) -> None:
        for name, (least, most) in self.BOUNDS.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise DefinitionError(
                    f"{name} must be a whole number from {least} to {most}, not {value!r}"
                )


def is_channel_name(text: str) -> bool:
    """`True` where a channel may have this name."""
    return _NAME.fullmatch(text) is not None


@attrs.frozen(slots=True, kw_only=True)
class Credentials:
    """The places in which a request for this channel carries its credentials.

    :ivar header_name: lower case, or `None` where no header is read.
    :ivar cookie_name: or `None` where no cookie is read.
    :ivar query_token: whether ``access_token`` in the query stands for the header.
    """

    header_name: str | None = None
    cookie_name: str | None = None
    query_token: bool = False


@attrs.frozen(slots=True, kw_only=True)
class PresenceRules:
    """Presence settings of a channel.

    :ivar info: schema of what the app says of a member; `None`: anything.
    :ivar state: schema of what a member says of itself; `None`: anything.
    :ivar grace_ms: who is back within it has not been away.
    :ivar max_members: of one topic on one node; who comes then is counted, and is no member.
    :ivar events: whether changes may be followed; else the list can be asked for alone.
    :ivar counts_all: nobody is a member, and only the number of connections is said.
    :ivar hooks: the app is told who joins and leaves: ``join``, ``leave``.
    """

    info: PayloadSchema | None = None
    state: PayloadSchema | None = None
    grace_ms: int = 10_000
    max_members: int = 1_000
    events: bool = True
    counts_all: bool = False
    hooks: frozenset[str] = frozenset()

    #: name -> (least, most) that a definition may say.
    BOUNDS: ClassVar = {"grace_ms": (0, 10 * MINUTE_MS), "max_members": (1, 100_000)}

    def __attrs_post_init__(self) -> None:
        for name, (least, most) in self.BOUNDS.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise DefinitionError(
                    f"presence: {name} must be a whole number from {least} to {most}, not {value!r}"
                )


@attrs.frozen(slots=True, kw_only=True)
class NewestRules:
    """A channel whose topics keep the newest message of each key.

    :ivar key: the field of a message's data that is its key; `None` where publishers say it.
    :ivar max_keys: most keys of a topic.
    :ivar conflate: whether readers that are behind skip what a later message replaces.
    """

    key: str | None = None
    max_keys: int = 1_000
    conflate: bool = False

    #: The least and the most that a definition may say.
    MAX_KEYS: ClassVar = (1, 1_000_000)

    def __attrs_post_init__(self) -> None:
        value, (least, most) = self.max_keys, self.MAX_KEYS
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise DefinitionError(
                f"newest: max_keys must be a whole number from {least} to {most}, not {value!r}"
            )


@attrs.frozen(slots=True, kw_only=True)
class StateRules:
    """A channel whose app gives the state of a topic.

    :ivar schema: of the state; `None`: anything.
    """

    schema: PayloadSchema | None = None


@attrs.frozen(slots=True, kw_only=True)
class ChannelDefinition:
    """One channel, as every part of the server sees it.

    :ivar name: the wire route, one path segment.
    :ivar params: the schema of the params.
    :ivar messages: payload schema by message type.  Empty: any type, any payload.
        Otherwise a type that is not in it is refused.
    :ivar credentials: `None` where no credentials are declared.
    :ivar verified: whether the app is asked before anyone may subscribe, connect
        or read history; where not, the channel is public.
    :ivar handlers: message types for which the app has a handler.  `None` where
        the app decides each frame itself (an app elsewhere that declared
        ``transport: "ws"``); empty where the channel is SSE only.
    :ivar forward_unhandled: store and fan out a frame whose type has no handler.
    :ivar partition_by: names of the params that make the topic; `None` is all.
    :ivar presence: of those who follow a topic; `None` where nobody is told of others.
    :ivar newest: of a channel that keeps the newest message of each key.
    :ivar state: where the app gives the state of a topic.
    :ivar said: what of `lifecycle` the definition says itself; the rest are defaults.
    """

    name: str
    params: Params = attrs.field(factory=Params.none)
    messages: Mapping[str, PayloadSchema] = attrs.field(factory=dict)
    credentials: Credentials | None = None
    verified: bool = False
    handlers: frozenset[str] | None = frozenset()
    forward_unhandled: bool = False
    partition_by: tuple[str, ...] | None = None
    lifecycle: Lifecycle = Lifecycle()
    presence: PresenceRules | None = None
    newest: NewestRules | None = None
    state: StateRules | None = None
    said: frozenset[str] = attrs.field(default=frozenset(Lifecycle.BOUNDS), eq=False)

    def __attrs_post_init__(self) -> None:
        if not is_channel_name(self.name):
            raise DefinitionError(
                f"channel name {self.name!r} must be 1 to 128 of the characters"
                " A-Z a-z 0-9 . _ ~ : @ - and begin with a letter or digit"
            )
        for reserved in sorted(RESERVED_QUERY_KEYS & set(self.params.names)):
            raise DefinitionError(
                f"param {reserved!r} is reserved by the protocol; give it another name"
            )
        for name in self.partition_by or ():
            if name not in self.params.names:
                raise DefinitionError(f"partition_by names {name!r}, which is no param")

    def with_defaults(self, default: Lifecycle) -> ChannelDefinition:
        """The same, with `default` for whatever the definition leaves open."""
        own = {name: getattr(self.lifecycle, name) for name in self.said}
        return attrs.evolve(self, lifecycle=attrs.evolve(default, **own))

    @property
    def bidirectional(self) -> bool:
        """`True` where clients may connect over WebSocket."""
        return self.handlers is None or bool(self.handlers) or self.forward_unhandled


@attrs.frozen(slots=True)
class Defined:
    """One definition and where it came from.

    :ivar definition: the channel.
    :ivar place: file, module or URL, for people.
    :ivar local: whether its callables are in this process; else the app is asked over HTTP.
    :ivar by_token: whether signed tokens let into it, and nobody is asked.
    """

    definition: ChannelDefinition
    place: str
    local: bool
    by_token: bool = False

    def under_tokens(self) -> Defined:
        """The same, with tokens to decide who is let in; frames go where they went.

        Credentials are where the definition says, or in the usual header.
        """
        credentials = self.definition.credentials or Credentials(header_name="authorization")
        definition = attrs.evolve(self.definition, verified=True, credentials=credentials)
        return attrs.evolve(self, definition=definition, by_token=True)


@attrs.define(slots=True)
class Registry:
    """Name -> definition.  Replaced as a whole when definitions are read again."""

    _by_name: dict[str, Defined] = attrs.field(factory=dict)

    @classmethod
    def of(cls, defined: Iterable[Defined]) -> Registry:
        """:raises DefinitionError: when two have the same name."""
        registry = cls()
        for one in defined:
            registry.add(one)
        return registry

    def add(self, defined: Defined) -> None:
        """:raises DefinitionError: when the name is taken; names both places."""
        first = self._by_name.get(defined.definition.name)
        if first is not None:
            raise DefinitionError(
                f"channel {defined.definition.name!r} is already defined in {first.place}",
                place=defined.place,
            )
        self._by_name[defined.definition.name] = defined

    def replace(self, other: Registry) -> None:
        """Take over all that `other` holds: who has this registry sees the new definitions."""
        self._by_name = dict(other._by_name)

    def get(self, name: str) -> Defined:
        """:raises ChannelUnknown: when there is none of this name."""
        try:
            return self._by_name[name]
        except KeyError:
            raise ChannelUnknown(f"There is no channel named {name!r}.") from None

    def conflates(self, name: str) -> bool:
        """Tell whether a channel of this name conflates (`NewestRules.conflate`)."""
        defined = self._by_name.get(name)
        rules = None if defined is None else defined.definition.newest
        return rules is not None and rules.conflate

    def __iter__(self) -> Iterator[Defined]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name
