"""Publishes from any process to a takotwist server, over HTTP.

A plain function blocks its own thread; a coroutine waits on its loop and holds no thread
at all, so a server of ours that is away never stops an app.  Both send the same request
and try by the same rules.  Rule: every attempt of one publish carries the same
idempotency key, so a retry never stores a message twice; and no error holds the key that
authorizes it.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TypeVar

import msgspec

from takotwist.app.awaited_exchange import AwaitedExchange, Request
from takotwist.app.http_address import Address
from takotwist.app.http_exchange import Deadline, HttpExchange
from takotwist.app.http_exchange_asyncio import AsyncioExchange
from takotwist.app.publish_tries import Tries, Trouble, without_waiting
from takotwist.app.publish_wire import (
    body_of,
    draft_of,
    drafts_of,
    presence_of,
    read_answer,
    read_ended,
    read_members,
    target_of,
)
from takotwist.app.published import Published
from takotwist.app.stream_call import StreamCall, StreamReply
from takotwist.app.stream_line_asyncio import AsyncioLine
from takotwist.app.stream_wire import read_reply, request_of, stream_of
from takotwist.app.stream_writer import BlockingMessageWriter, MessageWriter, Of, open_call
from takotwist.codecs.http_answer import HttpAnswer
from takotwist.codecs.query import check_key
from takotwist.core.topic import Draft
from takotwist.errors import ConfigError

#: Where a server serves its channels unless the address names a path (protocol, section 3).
DEFAULT_BASE_PATH = "/_tako/channels/"

T = TypeVar("T")

#: One blocking HTTP exchange.
Exchange = Callable[[str, str, Mapping[str, str], bytes, Deadline], HttpAnswer]


class Publisher:
    """Publishes to one server.  Safe to share between threads; make one a process.

    :param url: ``https://example.com``, with a path where the channels are served
        elsewhere than at ``/_tako/channels/``; or the private Unix socket,
        ``unix:/path/private.sock``.  Left out: ``TAKO_PUBLISH_URL``.
    :param key: a publish key; none is needed on the private socket.  Left out:
        ``TAKO_PUBLISH_KEY``.  White space around it is no part of it.
    :param patience: seconds, from the call on, over which a publish is tried before it
        has failed.
    :param ca_file: certificates to trust in place of the system's.
    :param exchange: one blocking HTTP exchange; `clock`, `sleep`, `jitter`: time.  For tests.
    :raises ConfigError: when there is no address, or it or the key cannot be used.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        patience: float = 10.0,
        ca_file: str | None = None,
        exchange: Exchange | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        url = url or os.environ.get("TAKO_PUBLISH_URL")
        if not url:
            raise ConfigError(
                "where to publish to is not known: give Publisher(url) or set it to the"
                " server's address, such as https://example.com or unix:/path/private.sock",
                source="TAKO_PUBLISH_URL",
            )
        self.address = Address.of(url, ca_file)
        self._exchange = exchange or HttpExchange(self.address)
        self._on_loops = AsyncioExchange(self.address)
        base = self.address.base_path
        self._base = base.rstrip("/") + "/" if base.strip("/") else DEFAULT_BASE_PATH
        self._authorization = authorization_of(key)
        if not isinstance(patience, int | float) or not 0 < patience < math.inf:
            raise ConfigError("must be seconds, above 0", key="patience", source="Publisher")
        self._patience = patience
        self._trouble = Trouble(self.address.server)
        self._clock, self._sleep, self._jitter = clock, sleep, jitter

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
    ) -> Published:
        """Store and deliver one message.

        :param params: by their names on the wire.  One that is `None` is left out.
        :param data: what JSON can carry.
        :param idempotency_key: the same key on the same topic within the replay
            window stores nothing and gives the first answer again.  Left out: one
            is made, for the attempts of this call.
        :param key: in a channel that keeps the newest of each key, what it replaces the
            earlier message of; and `delete`: end that key.
        :return: the message as stored.
        :raises Refusal: the server's no, such as `ChannelUnknown`; or what cannot even be
            sent, as `ParamsInvalid` or `BodyInvalid`, which name it.
        :raises Unreachable: no answer of a takotwist server within `patience`; the message
            may have been stored.
        """
        drafts = (draft_of(type, data, key, delete),)
        return self.publish_now(channel, params or {}, drafts, idempotency_key)[0]

    def publish_many(
        self,
        channel: str,
        params: Mapping[str, object] | None,
        messages: Iterable[tuple[str, object]],
        *,
        idempotency_key: str | None = None,
    ) -> list[Published]:
        """Store and deliver messages in one transaction, all or none.

        :param messages: pairs of type and data, in order.
        :raises: as `publish`.
        """
        drafts = drafts_of(messages)
        return self.publish_now(channel, params or {}, drafts, idempotency_key)

    async def publish_async(
        self,
        channel: str,
        params: Mapping[str, object] | None,
        type: str,
        data: object,
        *,
        idempotency_key: str | None = None,
        key: str | None = None,
        delete: bool = False,
    ) -> Published:
        """As `publish`, for asyncio: waits on the loop."""
        drafts = (draft_of(type, data, key, delete),)
        return (await self.publish_soon(channel, params or {}, drafts, idempotency_key))[0]

    async def publish_many_async(
        self,
        channel: str,
        params: Mapping[str, object] | None,
        messages: Iterable[tuple[str, object]],
        *,
        idempotency_key: str | None = None,
    ) -> list[Published]:
        """As `publish_many`, for asyncio: waits on the loop."""
        drafts = drafts_of(messages)
        return await self.publish_soon(channel, params or {}, drafts, idempotency_key)

    async def publish_soon(
        self,
        channel: str,
        params: Mapping[str, object],
        drafts: Sequence[Draft],
        idempotency_key: str | None,
    ) -> list[Published]:
        """The awaitable form of `publish_now`."""
        loop = _running_loop("publish_sync")
        if not drafts:
            return []
        request = self.request(channel, params, drafts, idempotency_key, loop.time())
        return await self._on_loops.published(request)

    def publish_now(
        self,
        channel: str,
        params: Mapping[str, object],
        drafts: Sequence[Draft],
        idempotency_key: str | None,
    ) -> list[Published]:
        """Store and deliver `drafts` in one transaction, all or none; blocks."""
        if not drafts:
            return []
        request = self.request(channel, params, drafts, idempotency_key, self._clock())
        return self._answered_now(request, read_answer)

    def _answered_now(self, request: Request, read: Callable[[HttpAnswer], T]) -> T:
        tries = request.tries
        # One deadline for all attempts, so that what waits is said once.
        deadline = Deadline(0.0, self._clock, tries.remind_at, tries.remind)

        async def ask(seconds: float) -> HttpAnswer:
            deadline.at = self._clock() + seconds
            return self._exchange(
                request.method, request.target, request.headers, request.body, deadline
            )

        async def sleep(seconds: float) -> None:
            until = self._clock() + seconds
            if deadline.remind_at is not None and until >= deadline.remind_at:
                deadline.remind_at = None
                tries.remind()
            self._sleep(seconds)

        return without_waiting(tries.answered(ask, sleep, self._clock, read))

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
    ) -> BlockingMessageWriter:
        """A message that is written bit by bit: ``with ... as out: out.write(token)``.

        :param of: and the others: as of `BoundChannel.stream`.
        """
        call = open_call(type, of, id, meta, resume)
        return BlockingMessageWriter(
            lambda call: self.stream_now(channel, params or {}, call), call
        )

    def stream_async(
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
        """As `stream`, for asyncio: ``async with ... as out: await out.write(token)``."""
        call = open_call(type, of, id, meta, resume)
        return MessageWriter(lambda: self.stream_line(channel, params or {}), call)

    def stream_line(self, channel: str, params: Mapping[str, object]) -> AsyncioLine:
        """As `Publishing.stream_line`, for asyncio."""
        _running_loop("stream_sync")
        return AsyncioLine(
            self._on_loops, lambda call, now: self.stream_request(channel, params, call, now)
        )

    def stream_now(
        self, channel: str, params: Mapping[str, object], call: StreamCall
    ) -> StreamReply:
        """As `Publishing.stream_now`."""
        request = self.stream_request(channel, params, call, self._clock())
        return self._answered_now(request, read_reply)

    def stream_request(
        self, channel: str, params: Mapping[str, object], call: StreamCall, now: float
    ) -> Request:
        """HTTP request of a writer of a streamed message.

        :param now: as of `request`.
        """
        target = stream_of(target_of(self._base, channel, params), call.id)
        method, headers, body = request_of(call)
        server = self.address.server
        tries = Tries(now, self._patience, server, "", self._trouble, self._jitter)
        return Request(target, {**headers, **self._authorization}, body, tries, method)

    def request(
        self,
        channel: str,
        params: Mapping[str, object],
        drafts: Sequence[Draft],
        idempotency_key: str | None,
        now: float,
    ) -> Request:
        """HTTP request for `drafts`.

        :param now: when the caller asked, on the clock that the attempts go by.
        :raises Refusal: it cannot be sent; names what is wrong.
        """
        key = uuid.uuid4().hex if idempotency_key is None else check_key(idempotency_key)
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": key,
            **self._authorization,
        }
        target = target_of(self._base, channel, params)
        server = self.address.server
        tries = Tries(now, self._patience, server, key, self._trouble, self._jitter)
        return Request(target, headers, body_of(drafts), tries)

    async def members_soon(self, channel: str, params: Mapping[str, object]) -> Sequence[bytes]:
        """As `Publishing.members_soon`, for asyncio."""
        return await members_of(
            lambda after: self.question("GET", channel, params, self._on_loops.now(), **after),
            self._on_loops,
        )

    async def kick_soon(self, channel: str, params: Mapping[str, object], subject: str) -> int:
        """As `Publishing.kick_soon`, for asyncio."""
        now = self._on_loops.now()
        request = self.question("DELETE", channel, params, now, subject=subject)
        return await self._on_loops.answered(request, read_ended)

    def question(
        self, method: str, channel: str, params: Mapping[str, object], now: float, **fields: str
    ) -> Request:
        """HTTP request about who is at a topic.

        :param now: as of `request`.
        """
        target = presence_of(target_of(self._base, channel, params), **fields)
        server = self.address.server
        tries = Tries(now, self._patience, server, "", self._trouble, self._jitter)
        return Request(target, self._authorization, b"", tries, method)

    def close(self) -> None:
        """Close the idle connections of plain functions; the next publish makes new ones."""
        if isinstance(self._exchange, HttpExchange):
            self._exchange.close()

    async def close_async(self) -> None:
        """Close the idle connections of the running loop."""
        await self._on_loops.close()


async def members_of(
    ask: Callable[[dict[str, str]], Request], exchange: AwaitedExchange
) -> Sequence[bytes]:
    """All pages of who is at a topic, each member once.

    :param ask: a request for the page that the fields tell.
    """
    newest: dict[str, bytes] = {}
    after: str | None = ""
    while after is not None:
        fields = {"limit": "1000", **({"after": after} if after else {})}
        page = await exchange.answered(ask(fields), read_members)
        for member in page.members:
            # Pages go from the oldest change to the newest.
            newest[msgspec.json.decode(member)["subject"]] = bytes(member)
        after = page.after
    return list(newest.values())


def _running_loop(blocking: str) -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigError(
            "no asyncio loop runs here to wait with; in a plain function use the form"
            f" that blocks ({blocking}), and under Twisted bind the channel to a"
            " takotwist.app.publisher_twisted.DeferredPublisher"
        ) from None


def authorization_of(key: str | None) -> dict[str, str]:
    """The header of a publish key, checked here: a library would repeat it in its error."""
    source = "Publisher" if key else "TAKO_PUBLISH_KEY"
    said = key or os.environ.get("TAKO_PUBLISH_KEY")
    if not said:
        return {}
    # A key that is read from a file ends with the file's line end.
    stripped = said.strip() if isinstance(said, str) else ""
    if not stripped or not stripped.isascii() or not stripped.isprintable() or " " in stripped:
        raise ConfigError("must be printable ASCII without spaces", key="key", source=source)
    return {"Authorization": f"Bearer {stripped}"}


@lru_cache(maxsize=1)
def environment_publisher() -> Publisher:
    """The publisher that the environment names; made once.

    :raises ConfigError: ``TAKO_PUBLISH_URL`` is not set.
    """
    return Publisher()
