"""Durable streams from any process: made, written, read and ended over HTTP.

For an asyncio loop, or for a reactor.  Rule: what is appended carries its producer's number, so
a retry never stores it twice; and what is read goes on at its offset through cuts and restarts,
until the stream says that it has ended.
"""

from __future__ import annotations

import math
import os
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any
from urllib.parse import quote

import attrs

from takotwist.app.awaited_exchange import MAX_IN_FLIGHT, AwaitedExchange, Request
from takotwist.app.http_address import Address
from takotwist.app.http_exchange_asyncio import AsyncioExchange
from takotwist.app.publish_tries import Tries, Trouble
from takotwist.app.publish_wire import foreign, no_of
from takotwist.app.publisher import authorization_of
from takotwist.codecs.http_answer import HttpAnswer
from takotwist.errors import ConfigError

#: Seconds for one long-poll, which by default is answered within 20.
POLL_SECONDS = 65.0

#: Live readers at once on one loop or reactor.
MAX_READERS = 10_000

#: Where a stream begins.
BEGINNING = "-1"

#: Where a stream ends now.
NOW = "now"

_TEXT = "text/plain; charset=utf-8"

Data = bytes | str


@attrs.frozen(slots=True)
class Page:
    """A part of a stream.

    :ivar data: bytes; of a stream of JSON an array of values.
    :ivar offset: behind it; what to read on from.
    :ivar ended: nothing follows it, ever.
    :ivar how: of a streamed message: ``ended``, ``failed`` or ``cancelled``; and `reason`, a
        word, of ``failed``.
    """

    data: bytes
    offset: str
    ended: bool
    how: str = ""
    reason: str = ""


class DurableStreams:
    """Streams of one server.  Make one a process.

    :param path: as the server's ``streams.path``.
    :param url: ``https://example.com`` or ``unix:/path/private.sock``.  Left out:
        ``TAKO_PUBLISH_URL``.
    :param key: a publish key.  Left out: ``TAKO_PUBLISH_KEY``.
    :param patience: seconds over which a request is tried before it has failed.
    :param poll_seconds: for a live read without an answer, before it is asked again; more than
        the server's ``streams.long_poll_seconds``.
    :param ca_file: certificates to trust in place of the system's.
    :param reactor: a Twisted reactor to wait with.  Left out: the asyncio loop that runs.
    :param jitter: a number from 0 to 1.  For tests.
    :raises ConfigError: when there is no address, or it or the key cannot be used.
    """

    def __init__(
        self,
        path: str = "/streams",
        *,
        url: str | None = None,
        key: str | None = None,
        patience: float = 10.0,
        poll_seconds: float = POLL_SECONDS,
        ca_file: str | None = None,
        reactor: object = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        url = url or os.environ.get("TAKO_PUBLISH_URL")
        if not url:
            raise ConfigError("no server is known", key="url", source="DurableStreams")
        self._address = Address.of(url, ca_file)
        for name, seconds in (("patience", patience), ("poll_seconds", poll_seconds)):
            if not 0 < seconds < math.inf:
                raise ConfigError("must be seconds, above 0", key=name, source="DurableStreams")
        self._path = "/" + path.strip("/")
        self._headers = authorization_of(key)
        self._patience, self._poll = patience, poll_seconds
        self._trouble = Trouble(self._address.server)
        self._jitter = jitter
        self._short = _exchange(reactor, self._address)
        # Readers wait for long, and must not keep writers waiting for a turn.
        self._long = _exchange(reactor, self._address, in_flight=MAX_READERS)

    def at(self, path: str, content_type: str = _TEXT) -> DurableStream:
        """The stream of a path, whether it is there or not.

        :param content_type: what it is made with; `application/json` makes it one of values.
        """
        return DurableStream(self, path, content_type)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Page:
        """One request, tried until it is answered.

        :raises Refusal: the server's no, such as `NotFound`.
        :raises Unreachable: no answer of a takotwist server in time.
        """
        polls = "live=long-poll" in query
        exchange = self._long if polls else self._short
        patience, attempt = self._patience, min(self._patience, 5.0)
        if polls:
            patience, attempt = patience + self._poll, self._poll
        tries = Tries(
            exchange.now(),
            patience,
            self._address.server,
            "",
            self._trouble,
            self._jitter,
            attempt=attempt,
            reminded_after=patience if polls else 0.7,
        )
        target = f"{self._path}/{quote(path, safe='/')}{query}"
        sent = {**self._headers, **(headers or {})}
        return await exchange.answered(
            Request(target, sent, body, tries, method), _read if method == "GET" else _done
        )

    def spawn(self, work: Coroutine[Any, Any, None]) -> Callable[[], Awaitable[None]]:
        """Begin work; the result gives something to wait for it with, however often."""
        return self._short.spawn(work)

    async def close(self) -> None:
        """Close the idle connections of the running loop; the next request makes new ones."""
        for exchange in (self._short, self._long):
            closing = exchange.close()
            if closing is not None:
                await closing


@attrs.frozen(slots=True)
class DurableStream:
    """One stream.

    :ivar path: below that of all streams.
    """

    _streams: DurableStreams = attrs.field(repr=False)
    path: str
    content_type: str

    async def create(self, *, ttl: int | None = 3600) -> Page:
        """Have it, ended or not; whoever reads finds it from here on.

        :param ttl: seconds without a read or a write after which it is gone.
        :raises Refusal: such as ``stream-different`` where another one is there.
        """
        headers = {"Content-Type": self.content_type}
        if ttl is not None:
            headers["Stream-TTL"] = str(ttl)
        return await self._streams.ask("PUT", self.path, headers=headers)

    async def append(
        self, data: Data = b"", *, end: bool = False, producer: tuple[str, int] | None = None
    ) -> Page:
        """Append, end, or both in one.

        :param producer: a name and the number of this request, which begins at 0 and rises by
            1.  Left out: one that nobody else has.
        :return: without data; the offset is that of the stream's end.
        :raises Refusal: `NotFound` where it is gone, ``stream-already-ended``.
        """
        name, number = producer or (uuid.uuid4().hex, 0)
        headers = {
            "Content-Type": self.content_type,
            "Producer-Id": name,
            "Producer-Epoch": "0",
            "Producer-Seq": str(number),
        }
        if end:
            headers["Stream-Closed"] = "true"
        body = data.encode() if isinstance(data, str) else data
        return await self._streams.ask("POST", self.path, headers=headers, body=body)

    async def read(self, offset: str = BEGINNING) -> Page:
        """Read the chunks from `offset` on, at most about 1 MiB."""
        return await self._streams.ask("GET", self.path, query=f"?offset={quote(offset)}")

    async def follow(self, offset: str = BEGINNING) -> AsyncIterator[Page]:
        """Read the chunks from `offset` on, and follow the stream until it has ended.

        :raises Refusal: `NotFound` where it is not there, that or `ReplayTooOld` where it is
            deleted meanwhile.
        """
        while True:
            query = f"?offset={quote(offset)}&live=long-poll"
            page = await self._streams.ask("GET", self.path, query=query)
            offset = page.offset
            if page.data or page.ended:
                yield page
            if page.ended:
                return

    async def delete(self) -> None:
        """Have it gone: its readers and its writer are told."""
        await self._streams.ask("DELETE", self.path)

    def writing(self) -> StreamWriter:
        """Write in pieces: ``async with stream.writing() as out: await out.write(token)``."""
        return StreamWriter(self, self._streams.spawn)


#: Begins work, and gives what waits for it: apart, so that a writer who gives up waiting (a
#: timeout about a `flush`) does not end the request that is under way.
Spawn = Callable[[Coroutine[Any, Any, None]], Callable[[], Awaitable[None]]]

#: Bytes that may wait to be sent; `write` waits while there are more.
MAX_WAITING_BYTES = 256 * 1024


class StreamWriter:
    """Writes one stream in pieces, and ends it.

    One request is under way at a time; what is written meanwhile goes with the next, so a fast
    model is not one request a token.  Rule: an error of the stream, such as that it was deleted,
    is raised by the next `write`, which ends the producer.
    """

    def __init__(self, stream: DurableStream, spawn: Spawn) -> None:
        self._stream, self._spawn = stream, spawn
        self._producer, self._number = uuid.uuid4().hex, 0
        self._text = b""
        self._sending = False
        self._wait: Callable[[], Awaitable[None]] = _nothing
        self._failed: Exception | None = None

    async def __aenter__(self) -> StreamWriter:
        return self

    async def write(self, data: Data) -> None:
        """Append it soon.

        :raises Refusal: :raises Unreachable: what was written before could not be stored.
        """
        if self._failed is not None:
            raise self._failed
        self._text += data.encode() if isinstance(data, str) else data
        if not self._sending and self._text:
            # First, because work that fails at once is over before this goes on.
            self._sending = True
            self._wait = self._spawn(self._send())
        if len(self._text) > MAX_WAITING_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Wait until all that was written is stored; raises as `write`."""
        while self._sending:
            await self._wait()
        if self._failed is not None:
            raise self._failed

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        """End it; where the block has failed it is left without an end."""
        if kind is None:
            await self.flush()
            await self._append(b"", end=True)
        elif self._sending:
            await self._wait()

    async def _send(self) -> None:
        try:
            while self._text:
                text, self._text = self._text, b""
                await self._append(text)
        except Exception as failed:
            self._failed = failed
        finally:
            self._sending = False

    async def _append(self, data: bytes, *, end: bool = False) -> None:
        number = self._number
        self._number += 1
        await self._stream.append(data, end=end, producer=(self._producer, number))


async def _nothing() -> None:
    """Nothing is waited for."""


def _exchange(reactor: object, address: Address, in_flight: int = MAX_IN_FLIGHT) -> AwaitedExchange:
    if reactor is None:
        return AsyncioExchange(address, in_flight)
    # Not before it is wanted: an asyncio program has no Twisted to load.
    from takotwist.app.http_exchange_twisted import TwistedExchange

    return TwistedExchange(reactor, address, in_flight=in_flight)


def _done(answer: HttpAnswer) -> Page:
    gone = answer.status == 204 and "stream-next-offset" not in answer.headers
    return Page(b"", "", False) if gone else _read(answer)


def _read(answer: HttpAnswer) -> Page:
    if answer.status not in (200, 201, 204):
        raise no_of(answer)
    if "stream-next-offset" not in answer.headers:
        # Also a 204: without an offset the next request would be the same one, at once.
        raise foreign(answer)
    return Page(
        answer.body,
        answer.headers["stream-next-offset"],
        answer.headers.get("stream-closed") == "true",
        answer.headers.get("stream-end", ""),
        answer.headers.get("stream-end-reason", ""),
    )
