"""Drives a machine on an asyncio loop.

One task a connection, one timer, and the machine between them.  Rule: intents
are carried out here and decided nowhere here.
"""

from __future__ import annotations

import asyncio
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

import aiohttp
import attrs

from takotwist.client.asyncio.carriers import session_for
from takotwist.client.credentials import Credentials, CredentialsValue
from takotwist.client.errors import Gone
from takotwist.client.inbox import Inbox
from takotwist.client.intents import (
    AskCredentials,
    AskGone,
    Connect,
    Deliver,
    Drop,
    Intent,
    Move,
    Send,
    Settle,
    Stop,
)
from takotwist.client.machine import Machine
from takotwist.client.policy import OnGone, Policy
from takotwist.client.target import Target

#: The kind of machine that is driven.
M = TypeVar("M", bound=Machine)

#: What a caller wants when continuity ends: a word, or a callable that gets the
#: `Gone` and gives the cursor to go on from, or `None` for live; it may be awaited.
GoneChoice = OnGone | Callable[[Gone], Any]


def mode_of(choice: GoneChoice) -> OnGone:
    """:raises ValueError: when it is none of the choices."""
    if callable(choice):
        return "ask"
    if choice not in ("reset", "raise"):
        raise ValueError("on_gone must be 'reset', 'raise' or a callable")
    return choice


async def called(function: Callable[..., Any], *args: Any) -> Any:
    """The result of a function that may be a coroutine's."""
    result = function(*args)
    return await result if inspect.isawaitable(result) else result


@attrs.define(eq=False)
class Seat:
    """One subscription as the driver sees it.

    :ivar news: set when there is something to take.
    """

    inbox: Inbox
    credentials: Credentials
    on_gone: GoneChoice
    news: asyncio.Event = attrs.field(factory=asyncio.Event)
    publishes: dict[int, asyncio.Future[str | None]] = attrs.field(factory=dict)

    async def ask_credentials(self) -> CredentialsValue:
        """The value, asked for anew where it comes from a callable."""
        if callable(self.credentials):
            value: CredentialsValue = await called(self.credentials)
            return value
        return self.credentials


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

    def cut(self) -> None:
        """Close it, whatever it is doing."""
        self._cut = True
        if self.task is not None:
            self.task.cancel()


@attrs.define(eq=False)
class Driver(ABC, Generic[M]):
    """See the module.

    :ivar machine: what is driven.
    :ivar seats: subscriptions by number; one with number 0 where there is only one.
    """

    machine: M
    policy: Policy
    target: Target
    ca_file: str | None = None
    seats: dict[int, Seat] = attrs.field(factory=dict)
    _line: Line | None = attrs.field(default=None, init=False)
    _session: aiohttp.ClientSession | None = attrs.field(default=None, init=False)
    _tasks: set[asyncio.Task[None]] = attrs.field(factory=set, init=False)
    _timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)
    _room: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def now(self) -> float:
        """The machine's time."""
        return asyncio.get_running_loop().time() * 1000

    def pump(self) -> None:
        """Carry out what the machine wants."""
        while intents := self.machine.intents():
            for intent in intents:
                self._carry_out(intent)
        self._set_timer()

    async def may_read(self) -> None:
        """Wait until the callers have room; not while one waits for an answer to a publish."""
        if not self._crowded():
            return
        self.machine.paused()
        self._set_timer()
        while self._crowded():
            self._room.clear()
            await self._room.wait()
        self.machine.resumed(self.now())
        self._set_timer()

    def _crowded(self) -> bool:
        return any(seat.inbox.full and not seat.publishes for seat in self.seats.values())

    def took(self, seat: Seat) -> None:
        """A caller took an event."""
        if seat.inbox.drained:
            self._room.set()

    async def publish(self, seat: Seat, take: Callable[..., int], *args: Any) -> str | None:
        """Publish, and wait for the outcome."""
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        number = take(*args)
        seat.publishes[number] = future
        self._room.set()
        self.pump()
        try:
            return await future
        finally:
            seat.publishes.pop(number, None)

    async def close(self) -> None:
        """Let go of everything; returns when no task and no socket of ours is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
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

    @abstractmethod
    async def carry(self, connect: Connect, line: Line) -> None:
        """Make a connection and read it to its end."""

    @abstractmethod
    async def ask_credentials(self, topic: int) -> None:
        """Ask for a topic's credentials and tell the machine."""

    @abstractmethod
    def gone_answered(self, topic: int, cursor: str | None) -> None:
        """Tell the machine where the app wants to go on."""

    @abstractmethod
    def give_up(self, topic: int, error: Exception) -> None:
        """The caller's own callable failed: that subscription is over."""

    def _carry_out(self, intent: Intent) -> None:
        match intent:
            case Connect():
                self._line = Line(self)
                self._line.task = self.spawn(self._carry(intent, self._line))
            case Drop():
                if self._line is not None:
                    self._line.cut()
            case Send(text):
                if self._line is not None:
                    self._line.outgoing.put_nowait(text)
            case Settle(number, id, error):
                self._settle(number, id, error)
            case AskCredentials(topic):
                self.spawn(self.ask_credentials(topic))
            case AskGone(gone, topic):
                self.spawn(self._ask_gone(gone, topic))
            case Deliver() | Move() | Stop():
                self._for_seat(intent)

    def _for_seat(self, intent: Deliver | Move | Stop) -> None:
        seat = self.seats.get(intent.topic)
        if seat is None:
            return
        match intent:
            case Deliver(event, cursor):
                seat.inbox.put(event, cursor)
            case Move(cursor):
                seat.inbox.move(cursor)
            case Stop(error):
                seat.inbox.end(error)
                self._room.set()
        seat.news.set()

    async def _carry(self, connect: Connect, line: Line) -> None:
        try:
            await self.carry(connect, line)
        except Exception as failed:
            # Not the network's doing: a header that cannot be sent, a certificate that
            # cannot be read.  It would fail again, so the callers are told.
            for topic in list(self.seats):
                self.give_up(topic, failed)

    def _settle(self, number: int, id: str | None, error: Exception | None) -> None:
        for seat in self.seats.values():
            future = seat.publishes.get(number)
            if future is not None and not future.done():
                if error is None:
                    future.set_result(id)
                else:
                    future.set_exception(error)

    async def _ask_gone(self, gone: Exception, topic: int) -> None:
        seat = self.seats.get(topic)
        if seat is None or not callable(seat.on_gone):
            return
        try:
            cursor = await called(seat.on_gone, gone)
        except Exception as failed:
            self.give_up(topic, failed)
        else:
            self.gone_answered(topic, cursor)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (wake_at := self.machine.wake_at) is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(wake_at / 1000, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.machine.woke(self.now())
        self.pump()
