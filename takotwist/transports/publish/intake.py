"""Intake of publishes over HTTP: what its three ways in have in common, and the cache of targets.

target -> key -> body -> schema -> rate -> append.  Those are the route, its fast path and lines.

A server with thousands of topics is published to at thousands of targets by the same few
programs, so what a target asks for is kept (`PublishTargets`) for the fast path of
`known_head`.  Rule: only a plain target is taken, and it is read by the very functions that
read it on the slow path; everything odd or wrong goes there, where it is said what is wrong.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred

from takotwist.codecs.frames import MAX_KEY_LENGTH
from takotwist.codecs.tako_json import read_drafts
from takotwist.core.channel import RESERVED_QUERY_KEYS, is_channel_name
from takotwist.core.deadlines import Deadlines
from takotwist.core.log import Appended
from takotwist.core.topic import Draft
from takotwist.errors import BodyInvalid, Refusal
from takotwist.flow.authorize import AuthorizerService
from takotwist.flow.publish import PublisherService, validate
from takotwist.flow.topic_request import TopicRequest
from takotwist.transports.admission import MessageBounds
from takotwist.transports.request import read_fields
from takotwist.transports.responses import Responses

#: Most messages in one array.
MAX_BATCH = 1_000

#: Targets that are remembered, and the longest of them, in bytes.
MAX_TARGETS, MAX_TARGET = 8192, 512

_PLAIN = re.compile(rb"/[!-~]*")


class BodyBounds(MessageBounds, Protocol):
    """Bounds of a publish, named and explained in the configuration."""

    @property
    def max_body_bytes(self) -> int: ...


class StreamTimes(Protocol):
    """Timeouts of an NDJSON publish, in seconds: without a byte from its client, and in all."""

    @property
    def stream_idle_seconds(self) -> float: ...
    @property
    def stream_seconds(self) -> float: ...


class PublishSettings(Protocol):
    """The settings of the server, as far as publishes depend on them."""

    @property
    def limits(self) -> BodyBounds: ...
    @property
    def publish(self) -> StreamTimes: ...
    @property
    def version(self) -> object:
        """Another object whenever anything has changed, keys and origins included."""
        ...


class OpenStream(Protocol):
    """A publish whose body has not ended."""

    def stop(self) -> None:
        """Take no more of it: the server stops."""


@attrs.define(slots=True)
class PublishTargets:
    """Cache of parsed targets; the one longest unused is forgotten first."""

    _authorizing: AuthorizerService
    _known: OrderedDict[bytes, TopicRequest] = attrs.field(factory=OrderedDict, init=False)
    _bases: set[bytes] = attrs.field(factory=set, init=False)

    def learn(self, path: bytes, channel: str) -> None:
        """Something was published to `channel` at `path`: so channels are below that."""
        base, name = path[: -len(channel)], path[-len(channel) :]
        if name == channel.encode() and base.endswith(b"/"):
            self._bases.add(base)

    def get(self, target: bytes) -> TopicRequest | None:
        """The topic request of `target`, path and query; `None` where the slow path must tell."""
        asked = self._known.get(target)
        if asked is not None:
            if self._authorizing.current(asked.definition):
                self._known.move_to_end(target)
                return asked
            # Definitions were read anew.
            del self._known[target]
        try:
            asked = self._read(target)
        except Refusal:
            return None
        if asked is not None and len(target) <= MAX_TARGET:
            self._known[target] = asked
            if len(self._known) > MAX_TARGETS:
                self._known.popitem(last=False)
        return asked

    def _read(self, target: bytes) -> TopicRequest | None:
        """:raises Refusal: it is wrong."""
        path = target.partition(b"?")[0]
        for base in self._bases:
            if path.startswith(base):
                channel = path[len(base) :].decode("latin-1")
                break
        else:
            return None
        if not is_channel_name(channel) or _PLAIN.fullmatch(target) is None:
            return None
        params: dict[str, list[str]] = {}
        for name, value in read_fields(target):
            if name in RESERVED_QUERY_KEYS:
                return None
            params.setdefault(name, []).append(value)
        definition = self._authorizing.registry.get(channel).definition
        return self._authorizing.bind_query(definition, params)

    def __len__(self) -> int:
        return len(self._known)


@attrs.define(slots=True)
class PublishIntake:
    """Reads, checks and stores what is published.

    :ivar answers: for the count of refusals.
    :ivar settings: for the sizes of messages and bodies, and for the times of a stream.
    :ivar cost: counts messages against their sender's rate: the sender, which is
        the Authorization header, and how many.
    :ivar deadlines: for streams that are quiet.
    :ivar targets: where was published to.
    :ivar streams: NDJSON streams that have not ended.
    """

    authorizing: AuthorizerService
    publishing: PublisherService
    answers: Responses
    settings: PublishSettings
    cost: Callable[[str, int], None]
    deadlines: Deadlines
    targets: PublishTargets = attrs.field(init=False)
    streams: set[OpenStream] = attrs.field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        self.targets = PublishTargets(self.authorizing)

    def stop(self) -> None:
        """The server stops: take no more lines of any stream."""
        for one in list(self.streams):
            one.stop()

    def read(self, body: bytes) -> tuple[tuple[Draft, ...], bool]:
        """The drafts of a body, and whether it is an array.

        :raises BodyInvalid: :raises MessageTooLarge: as they say.
        """
        return read_drafts(body, self.settings.limits.max_message_bytes, MAX_BATCH)

    def check_key(self, key: str) -> None:
        """:raises BodyInvalid: it can be no idempotency key."""
        if not 1 <= len(key) <= MAX_KEY_LENGTH:
            raise BodyInvalid(f"Idempotency-Key must have 1 to {MAX_KEY_LENGTH} characters.")

    def store(
        self, sender: str, asked: TopicRequest, drafts: Sequence[Draft], key: str | None
    ) -> Deferred[Appended]:
        """`check`, and `keep`."""
        self.check(sender, asked, drafts)
        return self.keep(asked, drafts, key)

    def check(self, sender: str, asked: TopicRequest, drafts: Sequence[Draft]) -> None:
        """Check drafts against the schema and the rate of their sender.

        :param sender: see `cost`.
        :raises BodyInvalid: :raises RateLimited: as they say.
        """
        validate(asked.definition, drafts)
        self.cost(sender, len(drafts))

    def keep(
        self, asked: TopicRequest, drafts: Sequence[Draft], key: str | None
    ) -> Deferred[Appended]:
        """Store what was checked; see `PublisherService.publish`."""
        return self.publishing.publish(
            asked.topic,
            drafts,
            self.authorizing.lifecycle(asked.definition),
            key,
            newest=asked.definition.newest,
        )
