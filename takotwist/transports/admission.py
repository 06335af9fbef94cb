"""Admission of a connection: the checks of every transport before the app is asked.

Path, channel, params, credentials, origin, limits, in this order, each with its
own answer (protocol, section 3).  Rule: a slot that was taken is used by a
session or given back, whatever happens in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs

from takotwist.codecs.frames import Bad, ClientFrame, OnTopic, Send
from takotwist.core.authorization import Grant, Operation
from takotwist.core.limits import LimitSettings
from takotwist.core.send_queue import FlushBatch, SendQueue
from takotwist.errors import CredentialsMissing, OriginRejected, RateLimited, Refusal, ShuttingDown
from takotwist.flow.attach import Attacher
from takotwist.flow.authorize import Authorized, AuthorizerService
from takotwist.flow.session import Session
from takotwist.flow.sessions import Sessions
from takotwist.flow.topic_request import RequestCredentials, TopicRequest
from takotwist.live.link import Link, LiveWire
from takotwist.streams.http.interface import ReadableRequest
from takotwist.transports.request import ChannelRequest
from takotwist.transports.responses import Responses

#: Tokens of a frame that is no message and can be read: a connection that comes back
#: follows its topics again, all at once.
CONTROL_TOKENS = 0.25

#: Frames of one connection that may be refused for their rate within so many seconds; one more
#: ends it, because to refuse a frame costs as much as to take it.  Not "one after the other":
#: in every flood one is taken now and then.
MAX_LIMITED, LIMITED_SECONDS = 1_000, 10.0

#: Characters of a refused origin that are repeated in the refusal.
MAX_ORIGIN = 200


class MessageBounds(Protocol):
    """Bounds of one message, named and explained in the configuration."""

    @property
    def max_message_bytes(self) -> int: ...


@attrs.define(slots=True)
class RateRefusals:
    """Frames of one connection that were refused for their rate.  Made for the first of them."""

    _count: int = 0
    _since: float = 0.0

    def too_many(self, now: float) -> bool:
        """Count one more; true when the connection is to end by it."""
        if now - self._since > LIMITED_SECONDS:
            self._count, self._since = 0, now
        self._count += 1
        return self._count > MAX_LIMITED


@attrs.define(slots=True)
class ConnectionSlot:
    """Slot for one connection, taken while the block is entered and given back unless used."""

    address: str
    _sessions: Sessions
    used: bool = False

    def open(
        self, kind: str, send_queue: SendQueue, end: Callable[[Refusal | None], None]
    ) -> Session:
        """Use it."""
        self.used = True
        return self._sessions.open(kind, self.address, send_queue, end)

    def __enter__(self) -> ConnectionSlot:
        self._sessions.enter(self.address)
        return self

    def __exit__(self, *_: object) -> None:
        if not self.used:
            self._sessions.leave(self.address)


@attrs.define(slots=True)
class Admission:
    """Admission checks, and the services that transports need after them.

    :ivar allows: whether a page of this origin may use the server for this request.
    :ivar address: of a request's peer, proxies looked through.
    :ivar outbox_bytes: most bytes that wait for one connection in one turn.
    :ivar settings: for the most bytes of one message's `data`.
    :ivar frame_cost: counts frames of clients against the rate of their address: so many
        tokens; `RateLimited` where there are none.
    :ivar trusted: whether whoever reaches this listener may do everything: the
        private one is reached by the operator and the app's own processes.
    :ivar draining: whether nobody new is taken.
    :ivar origin_refused: told of each page that is refused for its origin.
    :ivar live: what speaks of live objects on a wire, where there are any.
    """

    authorizing: AuthorizerService
    attacher: Attacher
    sessions: Sessions
    answers: Responses
    flush_batch: FlushBatch
    allows: Callable[[ReadableRequest, str], bool]
    address: Callable[[ReadableRequest], str]
    seconds: Callable[[], float]
    outbox_bytes: int
    settings: LimitSettings[MessageBounds]
    frame_cost: Callable[[str, float], None]
    origin_refused: Callable[[ReadableRequest, str], None] = lambda request, origin: None
    trusted: bool = False
    draining: bool = False
    live: Callable[[LiveWire, RequestCredentials, str], Link] | None = None

    def stop(self) -> None:
        """Take nobody new."""
        self.draining = True

    async def ask(self, channel: str, channel_request: ChannelRequest) -> TopicRequest:
        """Channel known, params valid.

        :raises ChannelUnknown: :raises ParamsInvalid: as it says.
        """
        definition = await self.authorizing.find(channel)
        return self.authorizing.bind_query(definition, channel_request.params)

    def check_credentials(self, asked: TopicRequest, channel_request: ChannelRequest) -> None:
        """:raises CredentialsMissing: the channel declares some and none is there."""
        if self.missing(asked, channel_request):
            raise CredentialsMissing

    def missing(self, asked: TopicRequest, channel_request: ChannelRequest) -> bool:
        """Test whether the channel declares credentials and none is there."""
        return not self.trusted and self.authorizing.missing(
            asked.definition, channel_request.presented
        )

    async def authorize(
        self, asked: TopicRequest, operation: Operation, presented: RequestCredentials, address: str
    ) -> Authorized:
        """Ask the app; see `AuthorizerService.authorize`."""
        if self.trusted:
            return Authorized(asked, Grant())
        return await self.authorizing.authorize(asked, operation, presented, address)

    def check_origin(self, request: ReadableRequest) -> None:
        """Refuse pages of other origins.  A request without an origin comes from no page.

        :raises OriginRejected: the page's origin is not allowed.
        """
        origin = request.getHeader("origin")
        if origin and not self.allows(request, origin):
            self.origin_refused(request, origin)
            raise OriginRejected(f"A page of {origin[:MAX_ORIGIN]!r} may not use this server.")

    def enter(self, request: ReadableRequest) -> ConnectionSlot:
        """A slot for a connection, to be entered.

        :raises ShuttingDown: the server takes nobody any more.
        :raises Overloaded: :raises RateLimited: by entering it: there is none.
        """
        if self.draining:
            raise ShuttingDown
        return ConnectionSlot(self.address(request), self.sessions)

    def over_rate(self, address: str, frame: ClientFrame) -> RateLimited | None:
        """Count a frame against the rate of its client's address, which may be over it."""
        message = isinstance(frame, Send | Bad)
        if message or (isinstance(frame, OnTopic) and frame.op == "publish"):
            tokens = 1.0
        else:
            tokens = CONTROL_TOKENS
        try:
            self.frame_cost(address, tokens)
        except RateLimited as limited:
            return limited
        return None

    def new_send_queue(self) -> SendQueue:
        """A send queue for one connection."""
        return SendQueue(self.outbox_bytes, self.flush_batch)
