"""Publishing from a Twisted program elsewhere: `Publisher` behind Deferreds.

`chat.bind(DeferredPublisher(reactor))` makes ``await chat(...).publish(...)`` work
under any reactor.  Rule: the waiting is done in the reactor's thread pool.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from takotwist.app.published import Published
from takotwist.app.publisher import Publisher
from takotwist.core.message import Draft


class DeferredPublisher:
    """As `Publisher`, answering with Deferreds.

    :param reactor: `IReactorFromThreads`.
    :param publisher: left out, the one that the environment names.
    """

    def __init__(self, reactor: Any, publisher: Publisher | None = None) -> None:
        self._reactor = reactor
        self._publisher = publisher or Publisher()

    def publish(
        self,
        channel: str,
        params: Mapping[str, Any] | None,
        type: str,
        data: Any,
        *,
        idempotency_key: str | None = None,
    ) -> Deferred[Published]:
        """Store and deliver one message.  :raises: as `Publisher.publish`."""
        return self._deferred(
            self._publisher.publish, channel, params, type, data, idempotency_key=idempotency_key
        )

    def publish_many(
        self,
        channel: str,
        params: Mapping[str, Any] | None,
        messages: Iterable[tuple[str, Any]],
        *,
        idempotency_key: str | None = None,
    ) -> Deferred[list[Published]]:
        """Store and deliver messages in one transaction, all or none."""
        return self._deferred(
            self._publisher.publish_many,
            channel,
            params,
            tuple(messages),
            idempotency_key=idempotency_key,
        )

    def publish_soon(
        self,
        channel: str,
        params: Mapping[str, Any],
        drafts: Sequence[Draft],
        idempotency_key: str | None,
    ) -> Deferred[list[Published]]:
        """See `Publishing`."""
        return self._deferred(self._publisher.publish_now, channel, params, drafts, idempotency_key)

    def publish_now(
        self,
        channel: str,
        params: Mapping[str, Any],
        drafts: Sequence[Draft],
        idempotency_key: str | None,
    ) -> list[Published]:
        """See `Publishing`: for a function that runs in a thread."""
        return self._publisher.publish_now(channel, params, drafts, idempotency_key)

    def _deferred(self, function: Any, *arguments: Any, **named: Any) -> Deferred[Any]:
        return deferToThreadPool(
            self._reactor, self._reactor.getThreadPool(), function, *arguments, **named
        )
