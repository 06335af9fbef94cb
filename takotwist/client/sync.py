"""The client for scripts: plain loops, no event loop in sight.

    with subscribe("https://app.example", "chat", params={"roomId": "a"}) as chat:
        for event in chat:
            ...

The asyncio client on a loop of its own in a thread of its own.  Rejected: SSE
over the standard library alone; it could neither publish nor notice a dead
connection while it blocks in a read.  Needs the extra ``takotwist[asyncio]``.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

from takotwist.client import asyncio as on_asyncio
from takotwist.client.errors import SubscriptionClosed
from takotwist.client.events import Event, History
from takotwist.client.machine.link import State
from takotwist.interfaces import Coro

__all__ = ["History", "Subscription", "history", "subscribe"]

T = TypeVar("T")


class Subscription:
    """Messages of one topic, for a script.  Made by `subscribe`.

    Iterating yields `Message` and `Reset`; it ends when the subscription is closed
    and raises what it was refused with.  Calls from several threads are allowed.
    """

    def __init__(self, *args: object, **options: object) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="takotwist-client", daemon=True
        )
        self._thread.start()
        try:
            self._inner = self._run(self._open(*args, **options))
        except BaseException:
            self._end()
            raise

    @staticmethod
    async def _open(*args: Any, **options: Any) -> on_asyncio.Subscription:
        return await on_asyncio.subscribe(*args, **options).__aenter__()

    def _run(self, work: Coro[T], timeout: float | None = None) -> T:
        if not self._thread.is_alive():
            work.close()
            raise SubscriptionClosed("The subscription is closed.")
        future = asyncio.run_coroutine_threadsafe(self._within(timeout, work), self._loop)
        try:
            return future.result()
        except BaseException:
            # Ctrl-C in a script: what was asked for shall not go on alone.
            future.cancel()
            raise

    @staticmethod
    async def _within(timeout: float | None, work: Coro[T]) -> T:
        # Counted in the loop and not by the future: an event that was taken in the
        # very moment of a time-out would be lost between the threads.
        async with asyncio.timeout(timeout):
            return await work

    @property
    def cursor(self) -> str | None:
        """The id of the last event that was taken; good as ``cursor=`` of a later one."""
        return self._inner.cursor

    @property
    def state(self) -> State:
        """State of the connection."""
        return self._inner.state

    @property
    def trouble(self) -> str | None:
        """Why there is no connection and another is tried; `None` while all is well."""
        return self._inner.trouble

    def next(self, timeout: float | None = None) -> Event:
        """The next event.

        :param timeout: seconds to wait, or `None` for as long as it takes.
        :raises StopIteration: the subscription was closed.
        :raises TimeoutError: none came; the next call may be tried.
        """
        try:
            return self._run(self._inner.next_event(), timeout)
        except StopAsyncIteration:
            raise StopIteration from None

    def publish(
        self,
        type: str,
        data: object,
        *,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> str | None:
        """Publish on the topic and wait for the outcome.

        :return: the stored message's id; `None` where nobody says one.
        :raises TimeoutError: no outcome within `timeout` seconds; it may still come to pass, so
            try again only with the same `idempotency_key`.
        """
        return self._run(self._inner.publish(type, data, idempotency_key=idempotency_key), timeout)

    def refresh_credentials(self) -> None:
        """Show the server credentials that are asked for anew."""
        self._run(self._inner.refresh_credentials())

    def close(self) -> None:
        """End it."""
        if self._thread.is_alive():
            self._run(self._inner.close())
            self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __iter__(self) -> Iterator[Event]:
        while True:
            try:
                event = self.next()
            except StopIteration:
                return
            yield event

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def subscribe(url: str, channel: str, **options: object) -> Subscription:
    """Subscribe to one topic, from a script.

    :param options: those of `takotwist.client.asyncio.subscribe`; callables run in the
        client's thread.
    """
    return Subscription(url, channel, **options)


def history(url: str, channel: str, **options: Any) -> History:
    """One page of what is kept of a topic, for a script.

    :param options: those of `takotwist.client.asyncio.history`, which says what is raised.
    """
    # A thread, for a script that has a loop under way already, as a notebook does.
    with ThreadPoolExecutor(1, "takotwist-history") as pool:
        return pool.submit(asyncio.run, on_asyncio.history(url, channel, **options)).result()
