"""Server-sent events for any Klein route or twisted.web resource.

A response is an async iterator of events.  Rule: it is asked for its next event
only when the client has room for it, and it is closed when the client leaves.

    @app.route("/ticks")
    def ticks(request):
        return sse(request, tick())
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import cast

import attrs
import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.codecs.sse import SseEvent, encode
from takotwist.streams.coroutine import run
from takotwist.streams.http.interface import AnyRequest, Request
from takotwist.streams.sse.stream import EventStream

_log = Logger()

#: What `sse` says of its responses.
HEADERS: Mapping[str, str] = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-store, must-revalidate, no-transform",
    "Connection": "keep-alive",
    "X-Accel-Buffering": "no",
}

KEEP_ALIVE = encode(SseEvent(comment="keepalive"))


@attrs.frozen(slots=True)
class RawBlocks:
    """Whole blocks that are encoded already.  Nothing of them is checked."""

    data: bytes


#: What an iterator may give: text and bytes are the data of an event.
Item = SseEvent | str | bytes | RawBlocks


def json_event(value: object, event: str | None = None, id: str | None = None) -> SseEvent:
    """An event whose data is `value` as JSON."""
    return SseEvent(data=msgspec.json.encode(value), event=event, id=id)


def last_event_id_bytes(request: AnyRequest) -> bytes | None:
    """The id that the client saw last, as it says; `None` where it says nothing."""
    value = request.requestHeaders.getRawHeaders(b"last-event-id")
    return (value[-1].strip() or None) if value else None


def last_event_id(request: AnyRequest) -> str | None:
    """The same as text; empty for an empty header, `None` when it is not UTF-8."""
    value = request.requestHeaders.getRawHeaders(b"last-event-id")
    if not value:
        return None
    try:
        return str(value[-1].strip().decode("utf-8"))
    except UnicodeDecodeError:
        return None


def sse(
    request: AnyRequest,
    events: AsyncIterable[Item],
    *,
    keep_alive: float | None = 15.0,
    retry: int | None = None,
    headers: Mapping[str, str] = HEADERS,
    reactor: IReactorTime | None = None,
) -> Deferred[None]:
    """Answer `request` with `events`.

    The request's headers and query are gone from it when this returns: read them before.

    :param events: an async iterator.  It may await Deferreds, and under the asyncio
        reactor anything of asyncio.  It is closed (``aclose``) when the client leaves.
    :param keep_alive: seconds of silence after which a comment is sent; `None` for never.
        Keep it well under what proxies allow, often 60.
    :param retry: milliseconds until the client reconnects, sent first.
    :param reactor: for the time; the one of the request's site where absent.
    :return: fires with `None` when the response is over, however it ended.  Return it
        from a Klein route, await it in a coroutine; in a ``render`` of
        twisted.web leave it and return ``NOT_DONE_YET``.
    """
    responder = _Responder(cast(Request, request), events, keep_alive, retry, headers, reactor)
    return responder.start()


class _Responder:
    """One response: the iterator, its stream, and the timer between them."""

    def __init__(
        self,
        request: Request,
        events: AsyncIterable[Item],
        keep_alive: float | None,
        retry: int | None,
        headers: Mapping[str, str],
        reactor: IReactorTime | None,
    ) -> None:
        self._events: AsyncIterator[Item] = events.__aiter__()
        self._keep_alive = keep_alive
        self._retry = retry
        self._reactor: IReactorTime = reactor or request.channel.site.reactor
        self._stream = EventStream(request, headers, on_resume=self._resumed)
        self._room: Deferred[None] | None = None
        self._timer: IDelayedCall | None = None
        # Counted as well as timed: two sums of fractions of a second may differ in
        # their last digit, and then the timer would be due, and due, and due.
        self._written = self._seen_written = 0
        self._written_at = self._reactor.seconds()
        self._over: Deferred[None] = Deferred(lambda _: self._stream.abort())

    def start(self) -> Deferred[None]:
        stream = self._stream
        stream.open()
        if self._retry is not None:
            stream.write(encode(SseEvent(retry=self._retry)))
        if self._keep_alive is not None and not stream.closed:
            self._timer = self._reactor.callLater(self._keep_alive, self._quiet)
        pumping = run(self._pump())
        stream.on_closed(pumping.cancel)
        pumping.addErrback(self._failed)
        pumping.addBoth(self._finish)
        return self._over

    async def _pump(self) -> None:
        stream = self._stream
        try:
            while not stream.closed:
                if stream.paused:
                    self._room = Deferred()
                    await self._room
                    continue
                try:
                    item = await self._events.__anext__()
                except StopAsyncIteration:
                    break
                self._write(item)
        except GeneratorExit:
            # The whole process ends around us: nothing can be awaited any more.
            raise
        except BaseException:
            await self._close_events()
            raise
        await self._close_events()

    async def _close_events(self) -> None:
        aclose = getattr(self._events, "aclose", None)
        if aclose is not None:
            await aclose()

    def _write(self, item: Item) -> None:
        if isinstance(item, RawBlocks):
            block = item.data
        else:
            block = encode(item if isinstance(item, SseEvent) else SseEvent(data=item))
        self._stream.write(block)
        self._written += 1
        self._written_at = self._reactor.seconds()

    def _resumed(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.called:
            room.callback(None)

    def _quiet(self) -> None:
        """The timer: not set anew at every event, but looked at when it is due."""
        assert self._keep_alive is not None
        now = self._reactor.seconds()
        if self._written == self._seen_written:
            if not self._stream.paused:
                self._stream.write(KEEP_ALIVE)
            self._written_at = now
        self._seen_written = self._written
        self._timer = self._reactor.callLater(
            max(0.0, self._written_at + self._keep_alive - now), self._quiet
        )

    def _failed(self, failure: Failure) -> None:
        if self._stream.closed and failure.check(CancelledError):
            return
        _log.failure("An event source failed", failure=failure)
        # Not a clean end: the client is to know that this was not all.
        self._stream.abort()

    def _finish(self, _: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._stream.close()
        if not self._over.called:
            self._over.callback(None)
