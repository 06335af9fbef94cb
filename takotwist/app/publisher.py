"""Publishes from any process to a takotwist server, over HTTP.

Blocking at heart, because most programs that publish are plain functions (a
Django view, a worker, a cron job).  The awaitable forms run the same code in a
worker thread.  Rejected: a second client on asyncio, which would be all of the
retrying twice, and a dependency on one of three HTTP libraries of that world;
a publish is one short request.  Rule: every attempt of one publish carries the
same idempotency key, so a retry never stores a message twice.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import random
import ssl
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from takotwist.app.http_exchange import HttpAnswer, HttpExchange
from takotwist.app.publish_wire import (
    body_of,
    draft_of,
    read_answer,
    retry_after,
    target_of,
)
from takotwist.app.published import Published
from takotwist.core.message import Draft
from takotwist.errors import ConfigError, Unreachable

#: Where a server serves its channels unless the address names a path (protocol, section 3).
DEFAULT_BASE_PATH = "/_tako/channels/"

#: Statuses that a later attempt may turn into a yes: too much, a proxy without its server.
_PASSING = frozenset({429, 502, 503, 504})

#: Seconds before the second attempt; doubled for each further one.
_FIRST_PAUSE = 0.1


class Publisher:
    """Publishes to one server.  Safe to share between threads; make one a process.

    :param url: ``https://example.com``, with a path where the channels are served
        elsewhere than at ``/_tako/channels/``; or the private Unix socket,
        ``unix:/path/private.sock``.  Left out: ``TAKO_PUBLISH_URL``.
    :param key: a publish key; none is needed on the private socket.  Left out:
        ``TAKO_PUBLISH_KEY``.
    :param patience: seconds over which a publish is tried before it has failed.
    :param ca_file: certificates to trust in place of the system's.
    :param exchange: one HTTP exchange; `clock`, `sleep`, `jitter`: time.  For tests.
    :raises ConfigError: when there is no address, or it cannot be used.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        patience: float = 10.0,
        ca_file: str | None = None,
        exchange: Callable[[str, str, Mapping[str, str], bytes], HttpAnswer] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        address = url or os.environ.get("TAKO_PUBLISH_URL")
        if not address:
            raise ConfigError(
                "where to publish to is not known: give Publisher(url) or set it to the"
                " server's address, such as https://example.com or unix:/path/private.sock",
                source="TAKO_PUBLISH_URL",
            )
        over_http = HttpExchange(address, timeout=min(5.0, patience), ca_file=ca_file)
        self._exchange, self._server = exchange or over_http, over_http.server
        base = over_http.base_path
        self._base = base.rstrip("/") + "/" if base.strip("/") else DEFAULT_BASE_PATH
        self._key = key or os.environ.get("TAKO_PUBLISH_KEY")
        self._patience = patience
        self._clock, self._sleep, self._jitter = clock, sleep, jitter

    def publish(
        self,
        channel: str,
        params: Mapping[str, Any] | None,
        type: str,
        data: Any,
        *,
        idempotency_key: str | None = None,
    ) -> Published:
        """Store and deliver one message.

        :param params: by their names on the wire.
        :param data: what JSON can carry.
        :param idempotency_key: the same key on the same topic within the replay
            window stores nothing and gives the first answer again.  Left out: one
            is made, for the attempts of this call.
        :return: the message as stored.
        :raises Refusal: the server's no, such as `ParamsInvalid` or `ChannelUnknown`.
        :raises Unreachable: no answer within `patience`; the message may have been stored.
        :raises BodyInvalid: JSON has no form for `data`.
        """
        drafts = (draft_of(type, data),)
        return self.publish_now(channel, params or {}, drafts, idempotency_key)[0]

    def publish_many(
        self,
        channel: str,
        params: Mapping[str, Any] | None,
        messages: Iterable[tuple[str, Any]],
        *,
        idempotency_key: str | None = None,
    ) -> list[Published]:
        """Store and deliver messages in one transaction, all or none.

        :param messages: pairs of type and data, in order.
        :raises: as `publish`.
        """
        drafts = tuple(draft_of(*message) for message in messages)
        return self.publish_now(channel, params or {}, drafts, idempotency_key)

    async def publish_async(
        self,
        channel: str,
        params: Mapping[str, Any] | None,
        type: str,
        data: Any,
        *,
        idempotency_key: str | None = None,
    ) -> Published:
        """As `publish`, for asyncio: waits in a worker thread."""
        drafts = (draft_of(type, data),)
        return (await self.publish_soon(channel, params or {}, drafts, idempotency_key))[0]

    async def publish_many_async(
        self,
        channel: str,
        params: Mapping[str, Any] | None,
        messages: Iterable[tuple[str, Any]],
        *,
        idempotency_key: str | None = None,
    ) -> list[Published]:
        """As `publish_many`, for asyncio: waits in a worker thread."""
        drafts = tuple(draft_of(*message) for message in messages)
        return await self.publish_soon(channel, params or {}, drafts, idempotency_key)

    async def publish_soon(
        self,
        channel: str,
        params: Mapping[str, Any],
        drafts: Sequence[Draft],
        idempotency_key: str | None,
    ) -> list[Published]:
        """The awaitable form of `publish_now`."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigError(
                "no asyncio loop runs here to wait with; in a plain function use the form"
                " that blocks (publish_sync), and under Twisted bind the channel to a"
                " takotwist.app.publisher_twisted.DeferredPublisher"
            ) from None
        return await asyncio.to_thread(self.publish_now, channel, params, drafts, idempotency_key)

    def publish_now(
        self,
        channel: str,
        params: Mapping[str, Any],
        drafts: Sequence[Draft],
        idempotency_key: str | None,
    ) -> list[Published]:
        """Store and deliver `drafts` in one transaction, all or none; blocks."""
        if not drafts:
            return []
        key = idempotency_key or uuid.uuid4().hex
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        target = target_of(self._base, channel, params)
        return read_answer(self._answer("POST", target, headers, body_of(drafts), key))

    def _answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, key: str
    ) -> HttpAnswer:
        give_up, pause = self._clock() + self._patience, _FIRST_PAUSE
        while True:
            last: HttpAnswer | None = None
            reason = ""
            wait = pause * (0.5 + self._jitter())
            try:
                last = self._exchange(method, target, headers, body)
            except (OSError, http.client.HTTPException) as broken:
                reason = getattr(broken, "strerror", None) or str(broken) or type(broken).__name__
                if isinstance(broken, ssl.SSLCertVerificationError):
                    # Another attempt meets the same certificate.
                    give_up = 0.0
            if last is not None:
                if last.status not in _PASSING:
                    return last
                wait = max(wait, retry_after(last))
            if self._clock() + wait >= give_up:
                if last is not None:
                    return last
                raise Unreachable(
                    f"the takotwist server at {self._server} cannot be reached: {reason}",
                    idempotency_key=key,
                )
            self._sleep(wait)
            pause = min(pause * 2, 2.0)


@lru_cache(maxsize=1)
def environment_publisher() -> Publisher:
    """The publisher that the environment names; made once.

    :raises ConfigError: ``TAKO_PUBLISH_URL`` is not set.
    """
    return Publisher()
