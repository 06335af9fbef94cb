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
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from takotwist.client import asyncio as on_asyncio
from takotwist.client.errors import SubscriptionClosed
from takotwist.client.events import Event, History
from takotwist.client.machine.link import State
from takotwist.client.members import Handler
from takotwist.client.presence import Member
from takotwist.core.json_values import Json

if TYPE_CHECKING:
    # Nobody need load Twisted for an annotation.
    from takotwist.interfaces import Coro

__all__ = ["History", "Mux", "Presence", "Subscription", "connect", "history", "subscribe"]

T = TypeVar("T")

_CLOSED = "The subscription is closed."

#: Seconds that what was begun has to take note of the end.
_END_SECONDS = 5.0


class ClientLoop:
    """A loop of its own in a thread of its own, for what waits on it.

    Rule: what was begun has an outcome, also where another thread ends the loop meanwhile.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._ended = False
        # A coroutine that is handed to a loop that runs no longer would be waited for for ever.
        self._handing = threading.Lock()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="takotwist-client", daemon=True
        )
        self._thread.start()

    def run(self, work: Coro[T], timeout: float | None = None) -> T:
        """The result of `work`.

        :raises SubscriptionClosed: the loop was ended.
        :raises TimeoutError: there was none in `timeout` seconds.
        """
        with self._handing:
            if self._ended:
                work.close()
                raise SubscriptionClosed(_CLOSED)
            future = asyncio.run_coroutine_threadsafe(self._within(timeout, work), self._loop)
        try:
            return future.result()
        except CancelledError:
            raise SubscriptionClosed(_CLOSED) from None
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

    def call(self, function: Callable[[], T]) -> T:
        """The result of a function that is called in the loop's thread."""

        async def called() -> T:
            return function()

        return self.run(called())

    def end(self) -> None:
        """Whoever waits is told that it is closed.  Harmless when repeated."""
        with self._handing:
            if self._ended:
                return
            self._ended = True
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_all() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for one in left:
        one.cancel()
    if left:
        await asyncio.wait(left, timeout=_END_SECONDS)


class _Closed:
    """Closed at the end of its ``with``."""

    def close(self) -> None:
        """End it."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Presence:
    """Members of a topic that is followed, for a script; `Subscription.presence`.

    Handlers run in the client's thread.  Calls from several threads are allowed.
    """

    def __init__(self, loop: ClientLoop, inner: on_asyncio.Presence) -> None:
        self._loop, self._inner = loop, inner

    @property
    def members(self) -> list[Member]:
        """In the order in which they came."""
        return self._loop.call(lambda: self._inner.members)

    @property
    def me(self) -> Member | None:
        """Oneself, where one is a member."""
        return self._loop.call(lambda: self._inner.me)

    @property
    def guests(self) -> int:
        """Connections that are no members."""
        return self._loop.call(lambda: self._inner.guests)

    @property
    def synced(self) -> bool:
        """The list is whole: all who were here at the beginning have been named."""
        return self._inner.synced

    def whole(self, timeout: float | None = None) -> Self:
        """Wait until the list is whole.

        :raises TakoError: it cannot be had; says why.
        :raises TimeoutError: it was not in `timeout` seconds.
        """
        self._loop.run(self._inner.whole(), timeout)
        return self

    def update(self, state: Json | Callable[[Json], Json], timeout: float | None = None) -> None:
        """Say something of oneself, and wait until the server has taken it.

        The newest counts, at most ten a second; it is said again after each reconnect.

        :param state: any JSON value, or a function that is given the last and gives one.
        :raises BodyInvalid: it does not fit, or is no JSON.  :raises MessageTooLarge: it is.
        :raises NotFound: one is no member.
        :raises TimeoutError: no answer in `timeout` seconds; it is said all the same.
        """

        async def updated() -> None:
            await self._inner.update(state)

        self._loop.run(updated(), timeout)

    def on_join(self, handler: Handler) -> Callable[[], None]:
        """Have it called with each member that comes, from when the list is whole.

        :return: ends that.
        """
        return self._loop.call(lambda: self._inner.on_join(handler))

    def on_leave(self, handler: Handler) -> Callable[[], None]:
        """With each that has gone, as it was last; see `on_join`."""
        return self._loop.call(lambda: self._inner.on_leave(handler))

    def on_update(self, handler: Handler) -> Callable[[], None]:
        """With each of which something has changed; see `on_join`."""
        return self._loop.call(lambda: self._inner.on_update(handler))

    def on_change(self, handler: Callable[[], object]) -> Callable[[], None]:
        """Have it called after each change of the list, and when it is whole.

        :return: ends that.
        """
        return self._loop.call(lambda: self._inner.on_change(handler))

    def close(self) -> None:
        """Follow it no more; done with the subscription too."""
        self._loop.call(self._inner.close)


class Subscription(_Closed):
    """Messages of one topic, for a script.  Made by `subscribe`.

    Iterating yields `Message` and `Reset`; it ends when the subscription is closed
    and raises what it was refused with.  Calls from several threads are allowed.
    """

    def __init__(
        self,
        inner: on_asyncio.Subscription,
        loop: ClientLoop,
        own: bool,
    ) -> None:
        self._inner, self._loop, self._own = inner, loop, own

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
            return self._loop.run(self._inner.next_event(), timeout)
        except (StopAsyncIteration, SubscriptionClosed):
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
        return self._loop.run(
            self._inner.publish(type, data, idempotency_key=idempotency_key), timeout
        )

    @property
    def presence(self) -> Presence:
        """The members at the topic, followed from the first use of this.

        :raises TransportNotEnabled: the connection is of this subscription alone.
        """
        return Presence(self._loop, self._loop.call(lambda: self._inner.presence))

    def refresh_credentials(self) -> None:
        """Show the server credentials that are asked for anew."""
        self._loop.run(self._inner.refresh_credentials())

    def close(self) -> None:
        """End it."""
        # Another thread may have closed it.
        with suppress(SubscriptionClosed):
            self._loop.run(self._inner.close())
        if self._own:
            self._loop.end()

    def __iter__(self) -> Iterator[Event]:
        while True:
            try:
                event = self.next()
            except StopIteration:
                return
            yield event


class Mux(_Closed):
    """A connection for many topics, for a script.  Made by `connect`.

    Every subscription must be read, but for its presence: past the bound of one that is not,
    nothing more is read for any.
    """

    def __init__(self, inner: on_asyncio.Mux, loop: ClientLoop) -> None:
        self._inner, self._loop = inner, loop

    def subscribe(self, channel: str, **options: Any) -> Subscription:
        """A topic on this connection.

        :param options: those of `takotwist.client.asyncio.Mux.subscribe`; callables run in the
            client's thread.
        """
        inner = self._loop.run(self._open(channel, options))
        return Subscription(inner, self._loop, own=False)

    async def _open(self, channel: str, options: Mapping[str, Any]) -> on_asyncio.Subscription:
        return await self._inner.subscribe(channel, **options).__aenter__()

    def close(self) -> None:
        """End all subscriptions and the connection."""
        # As with a subscription.
        with suppress(SubscriptionClosed):
            self._loop.run(self._inner.close())
        self._loop.end()


async def _subscribed(url: str, channel: str, options: Any) -> on_asyncio.Subscription:
    return await on_asyncio.subscribe(url, channel, **options).__aenter__()


async def _connected(url: str, options: Any) -> on_asyncio.Mux:
    return on_asyncio.connect(url, **options)


def _on_a_loop(open: Callable[[], Coro[T]]) -> tuple[T, ClientLoop]:
    loop = ClientLoop()
    try:
        return loop.run(open()), loop
    except BaseException:
        loop.end()
        raise


def subscribe(url: str, channel: str, **options: object) -> Subscription:
    """Subscribe to one topic, from a script.

    :param options: those of `takotwist.client.asyncio.subscribe`; callables run in the
        client's thread.
    """
    inner, loop = _on_a_loop(lambda: _subscribed(url, channel, options))
    return Subscription(inner, loop, own=True)


def connect(url: str, **options: object) -> Mux:
    """A connection for many topics, from a script; it is made with the first of them.

    :param options: those of `takotwist.client.asyncio.connect`.
    """
    return Mux(*_on_a_loop(lambda: _connected(url, options)))


def history(url: str, channel: str, **options: Any) -> History:
    """One page of what is kept of a topic, for a script.

    :param options: those of `takotwist.client.asyncio.history`, which says what is raised.
    """
    # A thread, for a script that has a loop under way already, as a notebook does.
    with ThreadPoolExecutor(1, "takotwist-history") as pool:
        return pool.submit(asyncio.run, on_asyncio.history(url, channel, **options)).result()
