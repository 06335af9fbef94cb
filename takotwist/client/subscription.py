"""A subscription, and a connection for many of them, as a caller sees them on every loop.

Rule: an I/O adapter adds how its results are waited for, and nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Generic, Self, TypeVar

import attrs

from takotwist.client.connections import SharedConnection
from takotwist.client.credentials import Credentials, token_of
from takotwist.client.driver import Driver, GoneChoice, SubscriptionState
from takotwist.client.errors import SubscriptionClosed
from takotwist.client.events import Event
from takotwist.client.machine.link import State
from takotwist.client.options import SubscriptionOptions

#: An I/O adapter's kind of driver.
D = TypeVar("D", bound=Driver)


class ClosedAtExit(ABC):
    """Closed at the end of its ``async with``."""

    __slots__ = ()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @abstractmethod
    async def close(self) -> None:
        """End it."""


@attrs.define(eq=False)
class AnySubscription(ClosedAtExit, Generic[D]):
    """Messages of one topic, over as many connections as it takes."""

    _driver: D
    _options: SubscriptionOptions
    #: Begins it, and gives the number of its topic.
    _begin: Callable[[], int]
    #: Whether the connection is of this subscription alone, and ends with it.
    _own: bool
    _topic: int | None = attrs.field(default=None, init=False)
    _subscription_state: SubscriptionState = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._subscription_state = self._options.subscription_state(self._driver.policy, self._wake)

    @property
    @abstractmethod
    def _wake(self) -> Callable[[], None]:
        """Wakes whoever waits for an event.  Not a method of this class, or the two would keep
        each other."""

    @property
    def cursor(self) -> str | None:
        """The id of the last event that was taken; good as ``cursor=`` of a later one."""
        return self._subscription_state.queue.cursor

    @property
    def state(self) -> State:
        """State of the connection."""
        return (
            State.CLOSED
            if self._subscription_state.queue.ended
            else self._driver.machine.link.state
        )

    @property
    def trouble(self) -> str | None:
        """Why there is no connection and another is tried, such as a certificate that is not
        trusted; in words for a person.  `None` while all is well."""
        return None if self._topic is None else self._driver.connection.trouble(self._topic)

    def start(self) -> None:
        """Connect.  Reading and publishing do it too."""
        if self._topic is None and not self._subscription_state.queue.ended:
            self._topic = self._begin()
            self._driver.subscriptions[self._topic] = self._subscription_state
            self._driver.pump()

    def started(self) -> int:
        """The number of the topic, which is begun where it was not.

        :raises SubscriptionClosed: it was closed before it began.
        """
        self.start()
        if self._topic is None:
            raise SubscriptionClosed("The subscription is closed.")
        return self._topic

    async def refresh_credentials(self) -> None:
        """Show the server credentials that are asked for anew, before the old ones expire."""
        token = token_of(await self._driver.value_of(self._subscription_state.credentials))
        if token is not None and self._topic is not None:
            self._driver.connection.refreshed(self._topic, token)
            self._driver.pump()

    async def close(self) -> None:
        """End it; publishes without an outcome fail with `SubscriptionClosed`.

        A connection for many topics stays for the others.
        """
        if self._topic is not None:
            self._driver.connection.left(self._topic)
            self._driver.pump()
        self._subscription_state.queue.end(None)
        self._subscription_state.news()
        if self._own:
            await self._driver.close()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    def _take(self) -> Event | None:
        """The next event; `None` while there is none.

        :raises StopAsyncIteration: the subscription was closed.
        """
        self.start()
        queue = self._subscription_state.queue
        event = queue.take()
        if event is not None:
            self._driver.took(self._subscription_state)
        elif queue.ended:
            raise queue.error or StopAsyncIteration
        return event


#: An I/O adapter's kind of subscription.
S = TypeVar("S")


@attrs.define(eq=False)
class AnyMux(ClosedAtExit, Generic[D, S]):
    """A connection for many topics; use it in ``async with``.

    Every subscription must be read: past the bound of one that is not, nothing more
    is read for any.
    """

    _driver: D
    _connection: SharedConnection

    def subscribe(
        self,
        channel: str,
        *,
        params: Mapping[str, object] | None = None,
        cursor: str | None = None,
        credentials: Credentials = None,
        on_gone: GoneChoice = "reset",
    ) -> S:
        """A topic on this connection.  The arguments are those of this module's `subscribe`.

        :param credentials: one text, or a callable that gives one.
        """
        options = SubscriptionOptions(channel, params, cursor, credentials, on_gone)
        driver = self._driver
        return self._subscription(options, lambda: self._connection.begin(options, driver.now()))

    @abstractmethod
    def _subscription(self, options: SubscriptionOptions, begin: Callable[[], int]) -> S:
        """A subscription of the loop's own kind."""

    async def close(self) -> None:
        """End all subscriptions and the connection."""
        self._connection.machine.closed()
        self._driver.pump()
        await self._driver.close()
