"""A request for a topic: the credentials that came with it, and its params once they are valid.

Connections to one topic, and publishes on it, bring the same query again and again, and
to validate it costs more than all else that is read of it, so valid queries are cached.
Rule: only what was found valid is cached, for the very definition that found it so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs

from takotwist.core.channel import ChannelDefinition
from takotwist.core.json_values import JsonObject
from takotwist.core.roster_messages import roster_of
from takotwist.core.topic import Topic
from takotwist.errors import TransportNotEnabled

#: Queries remembered, and the most fields and characters that one may have: together
#: a few megabytes at most, whatever clients ask for.
MAX_QUERIES, MAX_FIELDS, MAX_CHARACTERS = 8192, 8, 256


_Key = tuple[str, tuple[tuple[str, str], ...]]


@attrs.frozen(slots=True)
class RequestCredentials:
    """The credentials that came with a request, as text.

    :ivar header: value of a header by its lower-case name, or `None`.
    :ivar cookie: value of a cookie by its name, or `None`.
    :ivar token: ``access_token`` of the query.
    :ivar whole: all headers and cookies, where they are kept, for another node to look into.
    """

    header: Callable[[str], str | None] = attrs.field(repr=False)
    cookie: Callable[[str], str | None] = attrs.field(repr=False)
    token: str | None = attrs.field(default=None, repr=False)
    whole: tuple[Mapping[str, str | None], Mapping[str, str]] = attrs.field(
        default=({}, {}), repr=False
    )

    def or_text(self, value: str | None) -> RequestCredentials:
        """These, with `value` in place of the header where one is given."""
        return self if value is None else RequestCredentials(lambda name: value, self.cookie)

    def kept_for(self, definition: ChannelDefinition) -> RequestCredentials:
        """The part that a long connection to one channel needs; the request is let go."""
        declared = definition.credentials
        if declared is None:
            return NO_CREDENTIALS
        cookie = self.cookie(declared.cookie_name) if declared.cookie_name else None
        header = self.header(declared.header_name) if declared.header_name else None
        return RequestCredentials(lambda name: header, lambda name: cookie, self.token)


#: A request that came with nothing.
NO_CREDENTIALS = RequestCredentials(lambda name: None, lambda name: None)


@attrs.frozen(slots=True)
class TopicRequest:
    """A request whose channel is known and whose params are valid.

    :ivar params: all params; `topic` has only those that partition.
    :ivar roster: it is about who is at the topic: `topic` is the roster.
    :ivar keyed: whether the topic's messages have keys.
    """

    definition: ChannelDefinition
    params: JsonObject
    topic: Topic
    roster: bool = False
    keyed: bool = attrs.field(init=False)

    @keyed.default
    def _has_keys(self) -> bool:
        return self.roster or self.definition.newest is not None

    def of_roster(self) -> TopicRequest:
        """The same about who is there.

        :raises TransportNotEnabled: the channel has no presence.
        """
        if self.definition.presence is None:
            raise TransportNotEnabled(f"Channel {self.definition.name!r} has no presence.")
        return attrs.evolve(self, topic=roster_of(self.topic), roster=True)

    @property
    def name_bytes(self) -> int:
        """The length of its name, params included that are no part of the topic."""
        topic, params = self.topic, self.params
        if self.definition.partition_by is not None:
            topic = Topic.of(topic.channel, params)
        return len(topic.key)


@attrs.define(slots=True, eq=False)
class QueryCache:
    """Parsed queries; the oldest is forgotten first."""

    _known: dict[_Key, TopicRequest] = attrs.field(factory=dict, init=False)

    def key(self, definition: ChannelDefinition, query: Mapping[str, Sequence[str]]) -> _Key | None:
        """The key of `query` in the cache; `None` where it is not cached at all."""
        if len(query) > MAX_FIELDS:
            return None
        size, fields = 0, []
        for name, values in query.items():
            size += len(name) + len(values[0])
            if len(values) > 1 or size > MAX_CHARACTERS:
                return None
            fields.append((name, values[0]))
        return definition.name, tuple(fields)

    def find(self, definition: ChannelDefinition, key: _Key) -> TopicRequest | None:
        """The cached request."""
        asked = self._known.get(key)
        return asked if asked is not None and asked.definition is definition else None

    def remember(self, key: _Key, asked: TopicRequest) -> None:
        """Cache a valid query."""
        self._known.pop(key, None)
        if len(self._known) >= MAX_QUERIES:
            del self._known[next(iter(self._known))]
        self._known[key] = asked

    def forget(self) -> None:
        """Drop all: definitions were read again."""
        self._known.clear()

    def __len__(self) -> int:
        return len(self._known)
