"""A writer's way to a server elsewhere, on an asyncio loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from takotwist.app.awaited_exchange import AwaitedExchange, Request
from takotwist.app.stream_call import StreamCall, StreamReply
from takotwist.app.stream_wire import read_reply


class AsyncioLine:
    """See `StreamLine`.

    :param request: the HTTP request of a call, by the time on the loop's clock.
    """

    def __init__(
        self, exchange: AwaitedExchange, request: Callable[[StreamCall, float], Request]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._exchange = exchange
        self._request = request
        #: A loop holds its tasks weakly.
        self._tasks: set[asyncio.Task[StreamReply]] = set()

    def now(self) -> float:
        """See `StreamLine`."""
        return self._loop.time()

    def ask(self, call: StreamCall, told: Callable[[StreamReply | BaseException], None]) -> None:
        """See `StreamLine`."""
        task = self._loop.create_task(self._asked(call))
        self._tasks.add(task)

        def done(task: asyncio.Task[StreamReply]) -> None:
            self._tasks.discard(task)
            if task.cancelled():
                told(asyncio.CancelledError())
            else:
                told(task.exception() or task.result())

        task.add_done_callback(done)

    async def _asked(self, call: StreamCall) -> StreamReply:
        request = self._request(call, self._loop.time())
        return await self._exchange.answered(request, read_reply)

    def call_later(self, seconds: float, action: Callable[[], None]) -> Callable[[], object]:
        """See `StreamLine`."""
        return self._loop.call_later(seconds, action).cancel

    def waiting(self) -> tuple[Awaitable[None], Callable[[], None]]:
        """See `StreamLine`."""
        waiting: asyncio.Future[None] = self._loop.create_future()
        return waiting, lambda: None if waiting.done() else waiting.set_result(None)

    def watch(self, id: str, ended: Callable[[str, str], object]) -> Callable[[], None]:
        """See `StreamLine`: its calls are all that says so."""
        return lambda: None
