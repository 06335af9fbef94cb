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
from takotwist.client.members import AnyPresence, Room
from takotwist.client.options import SubscriptionOptions
from takotwist.errors import TransportNotEnabled

#: An I/O adapter's kind of driver.
D = TypeVar("D", bound=Driver)

#: And of presence.
R = TypeVar("R", bound=AnyPresence)


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
class AnySubscription(ClosedAtExit, Generic[D, R]):
    """Messages of one topic, over as many connections as it takes."""

    _driver: D
    _options: SubscriptionOptions
    #: Begins it, or another beside it, and gives the number of its topic.
    _begin: Callable[[SubscriptionOptions], int]
    #: Whether the connection is of this subscription alone, and ends with it.
    _own: bool
    _topic: int | None = attrs.field(default=None, init=False)
    _presence: R | None = attrs.field(default=None, init=False)
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
            self._topic = self._begin(self._options)
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

    @property
    def presence(self) -> R:
        """The members at the topic, followed from the first use of this.

        :raises TransportNotEnabled: the connection is of this subscription alone.
        :raises SubscriptionClosed: it was closed before this; or whatever else has ended it.
        """
        if self._own or self._options.presence:
            raise TransportNotEnabled(
                "Who is here is followed beside the topic, on a connection for many: connect(url)."
            )
        topic, queue = self.started(), self._subscription_state.queue
        if self._presence is None:
            if queue.ended:
                # Nobody would end what began now.
                raise queue.error or SubscriptionClosed("The subscription is closed.")
            options = attrs.evolve(self._options, presence=True, cursor=None, on_gone="reset")
            room = Room(self._driver, self._subscription_state, topic)
            self._presence = self._follow(room, options, self._begin)
        return self._presence

    @abstractmethod
    def _follow(
        self,
        room: Room,
        options: SubscriptionOptions,
        begin: Callable[[SubscriptionOptions], int],
    ) -> R:
        """The member list for the loop's own kind of program."""

    def _publishing(self, type: str, data: object, key: str | None) -> Callable[[], int]:
        def begin() -> int:
            driver = self._driver
            return driver.connection.publish(self.started(), type, data, key, driver.now())

        return begin

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
        if self._presence is not None:
            self._presence.close()
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
        presence: bool = False,
    ) -> S:
        """A topic on this connection.  The arguments are those of this module's `subscribe`.

        :param credentials: one text, or a callable that gives one.
        :param presence: its events are those of who is at the topic; see also
            `Subscription.presence`.
        """
        options = SubscriptionOptions(
            channel, params, cursor, credentials, on_gone, presence=presence
        )
        driver = self._driver
        return self._subscription(
            options, lambda options: self._connection.begin(options, driver.now())
        )

    @abstractmethod
    def _subscription(
        self, options: SubscriptionOptions, begin: Callable[[SubscriptionOptions], int]
    ) -> S:
        """A subscription of the loop's own kind."""

    async def close(self) -> None:
        """End all subscriptions and the connection."""
        self._connection.machine.closed()
        self._driver.pump()
        await self._driver.close()
