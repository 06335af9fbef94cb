"""Publishing from the app's code in the server's own process.

`Channel.bind` takes it.  Rule: the reactor's thread never blocks and no other
thread touches the log; the two forms of publishing each refuse the wrong thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import attrs
import msgspec
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.threads import blockingCallFromThread
from twisted.python.threadable import isInIOThread

from takotwist.app.published import Published
from takotwist.core.topic import Draft, Message

#: Validates and stores on one topic: channel, params, drafts, idempotency key.
Store = Callable[[str, Mapping[str, Any], Sequence[Draft], str | None], Deferred[Sequence[Message]]]


@attrs.frozen(slots=True)
class LocalPublishing:
    """Publishes straight to the log.

    :param reactor: `IReactorFromThreads`.
    :param store: the server's own publish.
    :param in_reactor: whether the current thread is the reactor's.
    """

    _reactor: Any
    _store: Store
    _in_reactor: Callable[[], bool] = isInIOThread

    def publish_soon(
        self,
        channel: str,
        params: Mapping[str, Any],
        drafts: Sequence[Draft],
        idempotency_key: str | None,
    ) -> Awaitable[list[Published]]:
        """See `Publishing`.

        :return: an asyncio future inside an asyncio task, a Deferred elsewhere: a coroutine
            that Twisted drives cannot wait for a future, also under the asyncio reactor.
        """
        if not self._in_reactor():
            raise RuntimeError(
                "publish() is for coroutines; in a plain function use publish_sync()"
            )
        stored = self._stored(channel, params, drafts, idempotency_key)
        try:
            task = asyncio.current_task()
        except RuntimeError:
            return stored
        return stored if task is None else stored.asFuture(task.get_loop())

    def publish_now(
        self,
        channel: str,
        params: Mapping[str, Any],
        drafts: Sequence[Draft],
        idempotency_key: str | None,
    ) -> list[Published]:
        """See `Publishing`."""
        if self._in_reactor():
            raise RuntimeError(
                "publish_sync() would block the server; in a coroutine use `await publish()`"
            )
        published: list[Published] = blockingCallFromThread(
            self._reactor, self._stored, channel, params, drafts, idempotency_key
        )
        return published

    def _stored(
        self,
        channel: str,
        params: Mapping[str, Any],
        drafts: Sequence[Draft],
        idempotency_key: str | None,
    ) -> Deferred[list[Published]]:
        return maybeDeferred(self._store, channel, params, drafts, idempotency_key).addCallback(
            lambda messages: [
                Published(
                    str(message.id),
                    message.topic.channel,
                    message.type,
                    msgspec.json.decode(message.data),
                )
                for message in messages
            ]
        )
