"""Publishing from a Twisted program elsewhere: `Publisher` behind Deferreds.

`chat.bind(DeferredPublisher(reactor))` makes ``await chat(...).publish(...)`` work
under any reactor.  Rule: the waiting is done by the reactor; no thread of its pool, which
is the app's, is ever held.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from takotwist.app.http_exchange_twisted import TwistedExchange
from takotwist.app.publish_wire import draft_of, drafts_of, read_ended
from takotwist.app.published import Published
from takotwist.app.publisher import Publisher, members_of
from takotwist.app.stream_call import StreamCall, StreamLine, StreamReply
from takotwist.app.stream_line_twisted import TwistedLine
from takotwist.app.stream_writer import MessageWriter, Of, open_call
from takotwist.core.topic import Draft


class DeferredPublisher:
    """As `Publisher`, answering with Deferreds.

    :param reactor: time and connections.
    :param publisher: left out, the one that the environment names.
    :param endpoint: where the server is, if the address alone does not say.
    """

    def __init__(
        self,
        reactor: object,
        publisher: Publisher | None = None,
        endpoint: IStreamClientEndpoint | None = None,
    ) -> None:
        self._clock = IReactorTime(reactor)
        self._publisher = publisher or Publisher()
        self._exchange = TwistedExchange(reactor, self._publisher.address, endpoint)

    def publish(
        self,
        channel: str,
        params: Mapping[str, object] | None,
        type: str,
        data: object,
        *,
        idempotency_key: str | None = None,
        key: str | None = None,
        delete: bool = False,
    ) -> Deferred[Published]:
        """Store and deliver one message.  :raises: as `Publisher.publish`."""
        drafting = maybeDeferred(draft_of, type, data, key, delete)
        publishing = drafting.addCallback(
            lambda draft: self.publish_soon(channel, params or {}, (draft,), idempotency_key)
        )
        return publishing.addCallback(lambda stored: stored[0])

    def publish_many(
        self,
        channel: str,
        params: Mapping[str, object] | None,
        messages: Iterable[tuple[str, object]],
        *,
        idempotency_key: str | None = None,
    ) -> Deferred[list[Published]]:
        """Store and deliver messages in one transaction, all or none."""
        return maybeDeferred(drafts_of, messages).addCallback(
            lambda drafts: self.publish_soon(channel, params or {}, drafts, idempotency_key)
        )

    def publish_soon(
        self,
        channel: str,
        params: Mapping[str, object],
        drafts: Sequence[Draft],
        idempotency_key: str | None,
    ) -> Deferred[list[Published]]:
        """As `Publishing.publish_soon`."""
        if not drafts:
            return succeed([])
        now = self._exchange.now()
        return maybeDeferred(
            self._publisher.request, channel, params, drafts, idempotency_key, now
        ).addCallback(lambda request: ensureDeferred(self._exchange.published(request)))

    def publish_now(
        self,
        channel: str,
        params: Mapping[str, object],
        drafts: Sequence[Draft],
        idempotency_key: str | None,
    ) -> list[Published]:
        """As `Publishing.publish_now`: for a function that runs in a thread."""
        return self._publisher.publish_now(channel, params, drafts, idempotency_key)

    def members_soon(self, channel: str, params: Mapping[str, object]) -> Deferred[Sequence[bytes]]:
        """As `Publishing.members_soon`."""
        publisher, exchange = self._publisher, self._exchange
        return ensureDeferred(
            members_of(
                lambda after: publisher.question("GET", channel, params, exchange.now(), **after),
                exchange,
            )
        )

    def kick_soon(self, channel: str, params: Mapping[str, object], subject: str) -> Deferred[int]:
        """As `Publishing.kick_soon`."""
        now = self._exchange.now()
        return maybeDeferred(
            self._publisher.question, "DELETE", channel, params, now, subject=subject
        ).addCallback(lambda request: ensureDeferred(self._exchange.answered(request, read_ended)))

    def stream(
        self,
        channel: str,
        params: Mapping[str, object] | None,
        type: str,
        *,
        of: Of = "text",
        id: str | None = None,
        meta: object = None,
        resume: bool = False,
    ) -> MessageWriter:
        """A message that is written bit by bit: ``async with ... as out: await out.write(token)``.

        :param of: and the others: as of `BoundChannel.stream`.
        """
        call = open_call(type, of, id, meta, resume)
        return MessageWriter(lambda: self.stream_line(channel, params or {}), call)

    def stream_line(self, channel: str, params: Mapping[str, object]) -> StreamLine:
        """As `Publishing.stream_line`."""
        publisher = self._publisher
        return TwistedLine(
            self._clock,
            self._exchange,
            lambda call, now: publisher.stream_request(channel, params, call, now),
        )

    def stream_now(
        self, channel: str, params: Mapping[str, object], call: StreamCall
    ) -> StreamReply:
        """As `Publishing.stream_now`: for a function that runs in a thread."""
        return self._publisher.stream_now(channel, params, call)

    def close(self) -> None:
        """Close the idle connections; the next publish makes new ones."""
        self._exchange.close()
