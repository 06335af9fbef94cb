"""HTTP exchanges that are awaited: turns, time limits, and one publish over them.

An I/O adapter for each loop adds connections, and its loop's own way to wait.  Rule: no
thread ever waits; what is awaited is the loop's own, so that a coroutine under one loop never
waits for another's future.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import attrs

from takotwist.app.http_address import Address, request_bytes
from takotwist.app.publish_tries import Tries
from takotwist.app.publish_wire import read_answer
from takotwist.app.published import Published
from takotwist.codecs.http_answer import HttpAnswer

T = TypeVar("T")

#: Publishes in flight at once on one loop or reactor; others wait for their turn, in order.
MAX_IN_FLIGHT = 16

#: Publishes that may wait for their turn on one loop or reactor.
MAX_WAITING = 10_000


@attrs.frozen(slots=True)
class Request:
    """One publish, or a question, ready to be sent as often as it takes.

    :ivar tries: how often that is.
    """

    target: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    tries: Tries
    method: str = "POST"


@attrs.define(slots=True, eq=False)
class Turns:
    """Concurrency limit of one loop or reactor.

    :ivar semaphore: of the loop's own kind.
    """

    semaphore: Any
    waiting: int = 0


class AwaitedExchange(ABC):
    """Exchanges with one server.

    :param in_flight: requests at once on one loop or reactor; others wait for their turn.
    """

    def __init__(self, address: Address, in_flight: int = MAX_IN_FLIGHT) -> None:
        self._address = address
        self._in_flight = in_flight

    async def published(self, request: Request) -> list[Published]:
        """Wait until the messages are stored; as `answered`."""
        return await self.answered(request, read_answer)

    async def answered(self, request: Request, read: Callable[[HttpAnswer], T]) -> T:
        """Wait for a turn, then try until it is answered.

        :raises Refusal: :raises Unreachable: as `Tries.published`.
        """
        tries = request.tries
        cancel_reminder = self._call_later(tries.remind_at - self.now(), tries.remind)
        try:
            try:
                give_back = await self._take_turn(tries.give_up_at)
            except TimeoutError as crowd:
                raise tries.crowded_out(str(crowd)) from None
            try:
                return await tries.answered(
                    lambda seconds: self._ask(request, seconds), self._sleep, self.now, read
                )
            finally:
                give_back()
        finally:
            cancel_reminder()

    async def _take_turn(self, until: float) -> Callable[[], object]:
        """Wait until it is one's turn; the result gives it back.

        :raises TimeoutError: it did not come; says why.
        """
        turns = self._turns()
        if turns.waiting >= MAX_WAITING:
            raise TimeoutError(f"{MAX_WAITING} publishes wait already")
        turns.waiting += 1
        try:
            await self._in_time(turns.semaphore.acquire(), until - self.now())
        except TimeoutError:
            raise TimeoutError(f"{self._in_flight} publishes before it had no answer") from None
        finally:
            turns.waiting -= 1
        release: Callable[[], object] = turns.semaphore.release
        return release

    async def _ask(self, request: Request, seconds: float) -> HttpAnswer:
        """Ask once.

        :param seconds: for all of it.
        :raises OSError: no connection, or it broke, or no HTTP came; `TimeoutError` included.
        """
        data = request_bytes(
            self._address, request.method, request.target, request.headers, request.body
        )
        try:
            return await self._in_time(self._exchanged(data), seconds)
        except TimeoutError:
            raise TimeoutError("no answer in time") from None

    @abstractmethod
    def close(self) -> Awaitable[None] | None:
        """Close what is idle, on this loop."""

    @abstractmethod
    def spawn(self, work: Coroutine[object, object, None]) -> Callable[[], Awaitable[None]]:
        """Begin a coroutine.

        :return: gives something to wait for it with, each time; cancelling that leaves the work.
        """

    @abstractmethod
    def now(self) -> float:
        """The loop's clock, in seconds."""

    @abstractmethod
    def _turns(self) -> Turns:
        """The turns of this loop."""

    @abstractmethod
    def _sleep(self, seconds: float) -> Awaitable[None]:
        """Wait."""

    @abstractmethod
    def _call_later(self, seconds: float, action: Callable[[], None]) -> Callable[[], object]:
        """Call `action` once; the result cancels it, and is harmless afterwards."""

    @abstractmethod
    async def _in_time(self, work: Awaitable[T], seconds: float) -> T:
        """The result of `work`.  :raises TimeoutError: it did not come in time; it is cancelled."""

    @abstractmethod
    async def _exchanged(self, request: bytes) -> HttpAnswer:
        """Send a request on a connection and read its answer."""
