"""I/O adapter for asyncio: a task a connection, one timer, and subscriptions to await."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import attrs

from takotwist.client import driver
from takotwist.client.asyncio.carriers import carry_sse, carry_websocket, session_for
from takotwist.client.driver import SubscriptionState
from takotwist.client.events import Event
from takotwist.client.machine.machine import Connect
from takotwist.client.members import AnyPresence, Room
from takotwist.client.options import SubscriptionOptions
from takotwist.client.subscription import AnyMux, AnySubscription

if TYPE_CHECKING:
    # Nobody need load Twisted for an annotation.
    from takotwist.interfaces import Coro

#: How long a close waits for what is under way.
CLOSE_SECONDS = 5.0


async def called(function: Callable[..., object], *args: object) -> Any:
    """The result of a function that may be a coroutine's."""
    result = function(*args)
    return await result if inspect.isawaitable(result) else result


@attrs.define(eq=False)
class Line:
    """One connection.  Once cut, it has nothing more to say.

    :ivar outgoing: text frames to send on it.
    """

    driver: Driver
    outgoing: asyncio.Queue[str] = attrs.field(factory=asyncio.Queue)
    task: asyncio.Task[None] | None = None
    _cut: bool = False

    def tell(self, fact: Callable[..., None], *args: object) -> None:
        """Tell the machine a fact, and carry out what it wants then."""
        if not self._cut:
            fact(*args)
            self.driver.pump()

    def now(self) -> float:
        """The machine's time."""
        return self.driver.now()

    async def may_read(self) -> None:
        """Wait until the callers have room."""
        if not self._cut:
            await self.driver.may_read()

    async def sse(self, url: str, headers: Mapping[str, str]) -> None:
        """Make a request for an event stream and read it to its end."""
        if self._cut:
            return  # while credentials were asked for, by one who cannot be interrupted
        await carry_sse(self, self.driver.machine, self.driver.session(), url, headers)

    async def websocket(
        self, url: str, headers: Mapping[str, str], opened: Callable[[str | None], None]
    ) -> None:
        """Open a WebSocket and read it to its end."""
        if self._cut:
            return
        driver = self.driver
        most = driver.policy.max_message_bytes
        await carry_websocket(self, driver.machine, driver.session(), url, headers, most, opened)

    def send(self, text: str) -> None:
        """Send a text frame."""
        self.outgoing.put_nowait(text)

    def cut(self) -> None:
        """Close it, whatever it is doing."""
        self._cut = True
        if self.task is not None:
            self.task.cancel()


@attrs.define(eq=False)
class Driver(driver.Driver):
    """Driver on the running asyncio loop."""

    _session: aiohttp.ClientSession | None = attrs.field(default=None, init=False)
    _tasks: set[asyncio.Task[None]] = attrs.field(factory=set, init=False)
    _timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)
    _room: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def now(self) -> float:
        """The machine's time."""
        return asyncio.get_running_loop().time() * 1000

    async def may_read(self) -> None:
        """Wait until the callers have room."""
        if not self.crowded:
            return
        self.machine.paused()
        self.pump()
        while self.crowded:
            self._room.clear()
            await self._room.wait()
        self.machine.resumed(self.now())
        self.pump()

    def made_room(self) -> None:
        """Look again whether reading may go on."""
        self._room.set()

    async def outcome(
        self, subscription: SubscriptionState, begin: Callable[[], int]
    ) -> str | None:
        """Begin something, and wait for its outcome."""
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        number = begin()
        subscription.publishes[number] = future
        self.made_room()
        self.pump()
        try:
            return await future
        finally:
            subscription.publishes.pop(number, None)

    def resolve(self, future: Any, id: str | None, error: Exception | None) -> None:
        """A publish has its outcome."""
        if future.done():
            return
        if error is None:
            future.set_result(id)
        else:
            future.set_exception(error)

    async def close(self) -> None:
        """Let go of everything; returns when no task and no socket of ours is left."""
        self.set_timer(None)
        current = asyncio.current_task()
        others = [task for task in self._tasks if task is not current]
        for task in others:
            task.cancel()
        try:
            if others:
                # Not for ever: a callable of the caller's may not let itself be cancelled.
                await asyncio.wait(others, timeout=CLOSE_SECONDS)
        finally:
            # Also where the caller's patience ends first.
            if self._session is not None:
                await self._session.close()

    def session(self) -> aiohttp.ClientSession:
        """The HTTP session, made when first needed."""
        if self._session is None:
            self._session = session_for(self.target, self.ca_file)
        return self._session

    def ask(self, function: Callable[..., object], *args: object) -> Awaitable[object]:
        """Call a function of the caller's, whose result may have to be waited for."""
        return called(function, *args)

    async def in_time(self, function: Callable[[], object], seconds: float) -> Any:
        """As `ask`.  :raises TimeoutError: it has not answered in time."""
        async with asyncio.timeout(seconds):
            return await called(function)

    def run(self, work: Coro[None]) -> asyncio.Task[None]:
        """Run a coroutine that ends with us."""
        task = asyncio.get_running_loop().create_task(self._minded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # One that was cancelled before its first step has not begun its work either.
        task.add_done_callback(lambda _: work.close())
        return task

    async def _minded(self, work: Coro[None]) -> None:
        try:
            await work
        except Exception as failed:
            # Not the network's doing: a header that cannot be sent, a certificate
            # that cannot be read.
            self.give_up_all(failed)

    def open_line(self, connect: Connect) -> Line:
        """Begin a connection."""
        line = Line(self)
        line.task = self.run(self.connection.carry(self, connect, line))
        return line

    def set_timer(self, at: float | None) -> None:
        """Call `woke` at this time of the machine, and at no other."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None:
            self._timer = asyncio.get_running_loop().call_at(at / 1000, self.woke)


@attrs.define(eq=False)
class Presence(AnyPresence):
    """Members of a topic that is followed; `Subscription.presence`."""

    _waking: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    async def whole(self) -> Self:
        """Wait until the list is whole.

        :raises TakoError: it cannot be had; says why.
        """
        while not self.synced:
            self._check()
            self._waking.clear()
            await self._waking.wait()
        return self

    def _changed(self) -> None:
        self._waking.set()


@attrs.define(eq=False)
class Subscription(AnySubscription[Driver, Presence]):
    """Messages of one topic, over as many connections as it takes.

    ``async for event in subscription`` yields `Message` and `Reset`; it ends when
    the subscription is closed and raises what it was refused with.  Use it in
    ``async with``, or loop over it directly: leaving the loop then closes it.
    """

    _news: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _managed: bool = attrs.field(default=False, init=False)

    @property
    def _wake(self) -> Callable[[], None]:
        return self._news.set

    async def publish(
        self, type: str, data: object, *, idempotency_key: str | None = None
    ) -> str | None:
        """Publish on the topic.

        Waits for a connection where there is none.  Over a cut it is sent again with
        the same idempotency key, so it is stored once.

        :return: the stored message's id; `None` where the app's handler dropped it or the
            server, in plain mode, does not say.
        :raises BodyInvalid: it is no message.  :raises OutgoingFull: too many wait.
        :raises Refusal: the server does not want it.
        """
        begin = self._publishing(type, data, idempotency_key)
        return await self._driver.outcome(self._subscription_state, begin)

    async def __aenter__(self) -> Self:
        self._managed = True
        return await super().__aenter__()

    async def next_event(self) -> Event:
        """The next event, for who does not loop.

        :raises StopAsyncIteration: the subscription was closed.
        """
        while (event := self._take()) is None:
            self._news.clear()
            await self._news.wait()
        return event

    async def __aiter__(self) -> AsyncIterator[Event]:
        try:
            while True:
                try:
                    event = await self.next_event()
                except StopAsyncIteration:
                    return
                yield event
        finally:
            if not self._managed:
                await self.close()

    def _follow(
        self,
        room: Room,
        options: SubscriptionOptions,
        begin: Callable[[SubscriptionOptions], int],
    ) -> Presence:
        return Presence(room, options, begin)


@attrs.define(eq=False)
class Mux(AnyMux[Driver, Subscription]):
    """A connection for many topics; use it in ``async with``.

    Every subscription must be read: past the bound of one that is not, nothing more
    is read for any.
    """

    def _subscription(
        self, options: SubscriptionOptions, begin: Callable[[SubscriptionOptions], int]
    ) -> Subscription:
        return Subscription(self._driver, options, begin, own=False)
