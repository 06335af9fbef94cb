"""Drives a machine on an asyncio loop: a task a connection, and one timer."""

from __future__ import annotations

import asyncio
import inspect
from abc import abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import attrs

from takotwist.client import driver
from takotwist.client.asyncio.carriers import session_for
from takotwist.client.credentials import Credentials, CredentialsValue
from takotwist.client.driver import M, Seat
from takotwist.client.errors import Gone
from takotwist.client.intents import Connect


async def called(function: Callable[..., Any], *args: Any) -> Any:
    """The result of a function that may be a coroutine's."""
    result = function(*args)
    return await result if inspect.isawaitable(result) else result


async def value_of(credentials: Credentials) -> CredentialsValue:
    """The value, asked for anew where it comes from a callable."""
    if callable(credentials):
        value: CredentialsValue = await called(credentials)
        return value
    return credentials


@attrs.define(eq=False)
class Line:
    """One connection.  Once cut, it has nothing more to say.

    :ivar outgoing: text frames to send on it.
    """

    driver: Driver[Any]
    outgoing: asyncio.Queue[str] = attrs.field(factory=asyncio.Queue)
    task: asyncio.Task[None] | None = None
    _cut: bool = False

    def tell(self, fact: Callable[..., None], *args: Any) -> None:
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

    def send(self, text: str) -> None:
        """Send a text frame."""
        self.outgoing.put_nowait(text)

    def cut(self) -> None:
        """Close it, whatever it is doing."""
        self._cut = True
        if self.task is not None:
            self.task.cancel()


@attrs.define(eq=False)
class Driver(driver.Driver[M]):
    """See the module."""

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

    async def publish(self, seat: Seat, take: Callable[..., int], *args: Any) -> str | None:
        """Publish, and wait for the outcome."""
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        number = take(*args)
        seat.publishes[number] = future
        self.made_room()
        self.pump()
        try:
            return await future
        finally:
            seat.publishes.pop(number, None)

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
        await asyncio.gather(*others, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def session(self) -> aiohttp.ClientSession:
        """The HTTP session, made when first needed."""
        if self._session is None:
            self._session = session_for(self.target, self.ca_file)
        return self._session

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine that ends with us."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def open_line(self, connect: Connect) -> Line:
        """Begin a connection."""
        line = Line(self)
        line.task = self.spawn(self._carry(connect, line))
        return line

    async def _carry(self, connect: Connect, line: Line) -> None:
        try:
            await self.carry(connect, line)
        except Exception as failed:
            # Not the network's doing: a header that cannot be sent, a certificate
            # that cannot be read.
            self.give_up_all(failed)

    @abstractmethod
    async def carry(self, connect: Connect, line: Line) -> None:
        """Make a connection and read it to its end."""

    @abstractmethod
    def gone_answered(self, topic: int, cursor: str | None) -> None:
        """Tell the machine where the app wants to go on."""

    def ask_gone(self, gone: Gone, topic: int, choice: Callable[[Gone], Any]) -> None:
        """Ask the app and tell the machine."""
        self.spawn(self._ask_gone(gone, topic, choice))

    async def _ask_gone(self, gone: Gone, topic: int, choice: Callable[[Gone], Any]) -> None:
        try:
            cursor = await called(choice, gone)
        except Exception as failed:
            self.give_up(topic, failed)
        else:
            self.gone_answered(topic, cursor)

    def set_timer(self, at: float | None) -> None:
        """Call `woke` at this time of the machine, and at no other."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None:
            self._timer = asyncio.get_running_loop().call_at(at / 1000, self.woke)
