"""connection -> handshake -> authorize -> ...

Channel known, params valid, credentials present, then the app is asked: each step has
its own answer, and the app is never asked about a request that could not be served
anyway.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol

import attrs
import msgspec
from twisted.logger import Logger

from takotwist.core.authorization import AuthRequest, Grant, HeaderCredential, Operation
from takotwist.core.channel import (
    ChannelDefinition,
    Lifecycle,
    PresenceRules,
    Registry,
    is_channel_name,
)
from takotwist.core.limits import LimitSettings
from takotwist.core.metrics import Metrics
from takotwist.core.topic import Topic
from takotwist.errors import (
    AuthUnavailable,
    BodyInvalid,
    ChannelUnknown,
    CredentialsMissing,
    ParamsInvalid,
)
from takotwist.flow.in_flight import InFlightCalls
from takotwist.flow.topic_request import QueryCache, RequestCredentials, TopicRequest
from takotwist.ports import IAuthorizer

_logger = Logger()


@attrs.frozen(slots=True)
class Authorized:
    """A request that the app has let in.

    :ivar request: the question to which the app said yes, where the client may want
        more than it asked for; `None` where there is nobody to ask, or nothing more.
    :ivar lifecycle: the channel's, with the grant's overrides.
    """

    asked: TopicRequest
    grant: Grant
    request: AuthRequest | None = None
    lifecycle: Lifecycle = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        of_channel = self.asked.definition.lifecycle
        object.__setattr__(self, "lifecycle", self.grant.lifecycle(of_channel))

    def expired(self, wall: float) -> bool:
        """`True` where the grant is void at `wall` (unix seconds)."""
        return self.grant.expires_at is not None and self.grant.expires_at <= wall


class TopicBounds(Protocol):
    """Bounds of one topic, named and explained in the configuration."""

    @property
    def max_topic_bytes(self) -> int: ...
    @property
    def max_presence_info_bytes(self) -> int: ...


#: Operation, topic, params that do not partition it, and credentials.
_Question = tuple[Operation, str, str | None, HeaderCredential | None, str | None]


@attrs.define(slots=True, eq=False)
class _Asking:
    """One request that waits for the app's answer.

    :ivar kicked: the subjects that were kicked since it was asked.
    """

    kicked: set[str] = attrs.field(factory=set)


@attrs.define(slots=True)
class AuthorizerService:
    """The authorizer service: finds channels, binds params, asks the app.

    :ivar settings: for the most bytes of a topic's name, as it is printed.
    :ivar refresh: reads an app's registry anew and says whether anything may have
        changed; `None` where all definitions are known from the start.
    """

    registry: Registry
    authorizer: IAuthorizer
    metrics: Metrics
    seconds: Callable[[], float]
    settings: LimitSettings[TopicBounds]
    refresh: Callable[[], Awaitable[bool]] | None = None
    _lifecycles: dict[str, Lifecycle] = attrs.field(factory=dict, init=False)
    _in_flight: InFlightCalls[_Question, Grant] = attrs.field(factory=InFlightCalls, init=False)
    #: Who waits for an answer of the app, by topic.
    _asking: dict[str, set[_Asking]] = attrs.field(factory=dict, init=False)
    _queries: QueryCache = attrs.field(factory=QueryCache, init=False)
    # At most four for each channel.
    _named: set[tuple[str, str]] = attrs.field(factory=set, init=False)

    async def find(self, channel: str) -> ChannelDefinition:
        """:raises ChannelUnknown: there is none, also not in a freshly read registry."""
        if not is_channel_name(channel):
            # No app is asked for what cannot be one, and it is not said back.
            raise ChannelUnknown
        try:
            return self.registry.get(channel).definition
        except ChannelUnknown:
            if self.refresh is None or not await self.refresh():
                raise
            return self.registry.get(channel).definition

    def current(self, definition: ChannelDefinition) -> bool:
        """`True` while `definition` is the one of its name."""
        try:
            return self.registry.get(definition.name).definition is definition
        except ChannelUnknown:
            return False

    def bind_query(
        self, definition: ChannelDefinition, query: Mapping[str, Sequence[str]]
    ) -> TopicRequest:
        """:raises ParamsInvalid: names the param."""
        key = self._queries.key(definition, query)
        asked = None if key is None else self._queries.find(definition, key)
        if asked is None:
            # Before it is validated, which may cost more than it is long.
            self._check_size(
                sum(len(name) + sum(map(len, values)) for name, values in query.items())
            )
            asked = self._asked(definition, definition.params.bind_query(query))
            if key is not None:
                self._queries.remember(key, asked)
        return asked

    def bind(self, definition: ChannelDefinition, params: Mapping[str, object]) -> TopicRequest:
        """:raises ParamsInvalid: names the param."""
        self.check_raw(params)
        return self._asked(definition, definition.params.bind(params))

    def check_raw(self, params: Mapping[str, object]) -> None:
        """Refuse at once what is too long, whatever it would be bound to.

        :raises ParamsInvalid: it is.
        """
        texts = (value for value in params.values() if isinstance(value, str))
        self._check_size(sum(map(len, params)) + sum(map(len, texts)))

    def _asked(self, definition: ChannelDefinition, params: dict[str, object]) -> TopicRequest:
        asked = _asked(definition, params)
        self._check_size(asked.name_bytes)
        return asked

    def _check_size(self, size: int) -> None:
        most = self.settings.limits.max_topic_bytes
        if size > most:
            raise ParamsInvalid(
                f"The params make a name of {size} bytes; at most {most} are taken."
            )

    @staticmethod
    def missing(definition: ChannelDefinition, presented: RequestCredentials) -> bool:
        """`True` where `definition` declares credentials and none of them is there."""
        return definition.credentials is not None and _read(definition, presented) == (None, None)

    async def authorize(
        self,
        asked: TopicRequest,
        operation: Operation,
        presented: RequestCredentials,
        address: str = "",
    ) -> Authorized:
        """Ask the app.

        :param address: from where it is asked.
        :raises CredentialsMissing: declared, and not there.
        :raises VerifyRejected: the app says no.
        :raises AuthUnavailable: it could not be asked.
        """
        definition = asked.definition
        header, cookie = _read(definition, presented)
        if definition.credentials is not None and header is None and cookie is None:
            raise CredentialsMissing(_where(definition))
        if not definition.verified:
            return Authorized(asked, Grant())
        request = AuthRequest(definition.name, operation, asked.params, header, cookie, address)
        grant = await self._ask(asked, request)
        # Kept for the question whether the client may publish.  Who can only listen holds
        # no credentials for hours.
        speaks = operation in ("connect", "publish")
        admitted = Authorized(asked, grant, request if speaks else None)
        # An app elsewhere tells a channel's lifecycle only in its grants, and a
        # publish has none: the newest holds for the channel's topics.
        self._lifecycles[definition.name] = admitted.lifecycle
        return admitted

    async def authorize_publish(self, admitted: Authorized) -> Authorized:
        """Ask the app whether a client that it let in may also publish.

        :return: `admitted` where there is nobody to ask.  The subject is the connection's
            unless the answer names one.
        :raises VerifyRejected: the app says no.
        :raises AuthUnavailable: it could not be asked.
        """
        if admitted.request is None:
            return admitted
        request = attrs.evolve(admitted.request, operation="publish")
        grant = await self._ask(admitted.asked, request)
        if grant.subject is None:
            grant = attrs.evolve(grant, subject=admitted.grant.subject)
        return Authorized(admitted.asked, grant, request)

    def kicked(self, topic: Topic, subject: str) -> None:
        """Ask the app anew about `subject` at `topic` where a question is in flight.

        Its answer may be from before the app knew that the subject is to stay out.
        """
        asking = self._asking.get(topic.key)
        if asking is not None:
            for one in asking:
                one.kicked.add(subject)
            self._in_flight.forget(lambda question: question[1] == topic.key)

    async def _ask(self, asked: TopicRequest, request: AuthRequest) -> Grant:
        began = self.seconds()
        # The topic has only the params that partition, and the app is told of all.
        partition = asked.definition.partition_by
        others = None if partition is None else repr(sorted(asked.params.items()))
        question = (request.operation, asked.topic.key, others, request.header, request.cookie)
        grant, kicked = await self._answer(question, request)
        while grant.subject in kicked:
            grant, kicked = await self._answer(question, request)
        self.metrics.authorize_seconds.observe(self.seconds() - began)
        if grant.info is not None and asked.definition.presence is not None:
            self._check_info(request.channel, asked.definition.presence, grant.info)
        for name, said, holds in grant.out_of_bounds():
            self._name_once(request.channel, name, said, holds)
        return grant

    async def _answer(
        self, question: _Question, request: AuthRequest
    ) -> tuple[Grant, Collection[str]]:
        """The app's answer, and the subjects that were kicked while it was in flight."""
        mine, of_topic = _Asking(), question[1]
        self._asking.setdefault(of_topic, set()).add(mine)
        try:
            grant = await self._in_flight.ask(question, lambda: self.authorizer.authorize(request))
        finally:
            asking = self._asking[of_topic]
            asking.remove(mine)
            if not asking:
                del self._asking[of_topic]
        return grant, mine.kicked

    def _check_info(self, channel: str, rules: PresenceRules, info: object) -> None:
        """:raises AuthUnavailable: the app says of somebody what the channel does not allow."""
        data, most = msgspec.json.encode(info), self.settings.limits.max_presence_info_bytes
        wrong = None
        if len(data) > most:
            wrong = f"it has {len(data)} bytes; at most {most} are taken"
        elif rules.info is not None:
            try:
                rules.info.check(data)
            except BodyInvalid as misfit:
                wrong = misfit.sentence
        if wrong is not None:
            _logger.error(
                "the grant for {channel} has an info that cannot be used: {wrong}",
                channel=channel,
                wrong=wrong,
            )
            raise AuthUnavailable("The app failed while authorizing.")

    def _name_once(self, channel: str, name: str, said: int, holds: int) -> None:
        """Say in the log that a grant's value is not taken as it is; once until a reload."""
        if (channel, name) not in self._named:
            self._named.add((channel, name))
            _logger.warn(
                "the grant for {channel} says {name} = {said}, which is out of bounds;"
                " {holds} holds",
                channel=channel,
                name=name,
                said=said,
                holds=holds,
            )

    def lifecycle(self, definition: ChannelDefinition) -> Lifecycle:
        """The lifecycle that holds for topics of this channel now."""
        return self._lifecycles.get(definition.name, definition.lifecycle)

    def forget_lifecycles(self) -> None:
        """The definitions were read again: begin with what they say."""
        self._lifecycles.clear()
        self._named.clear()
        self._queries.forget()


def _asked(definition: ChannelDefinition, params: dict[str, object]) -> TopicRequest:
    partition = definition.partition_by
    binding = (
        params
        if partition is None
        else {name: value for name, value in params.items() if name in partition}
    )
    return TopicRequest(definition, params, Topic.of(definition.name, binding))


def _read(
    definition: ChannelDefinition, presented: RequestCredentials
) -> tuple[HeaderCredential | None, str | None]:
    declared = definition.credentials
    if declared is None:
        return None, None
    text = presented.header(declared.header_name) if declared.header_name else None
    if text is None and declared.query_token:
        text = presented.token
    cookie = presented.cookie(declared.cookie_name) if declared.cookie_name else None
    return (HeaderCredential.split(text) if text else None), cookie or None


def _where(definition: ChannelDefinition) -> str:
    declared = definition.credentials
    places = []
    if declared is not None and declared.header_name:
        places.append(f"the header {declared.header_name!r}")
    if declared is not None and declared.cookie_name:
        places.append(f"the cookie {declared.cookie_name!r}")
    return f"This channel needs credentials in {' or '.join(places)}."
