"""Many subscriptions over one WebSocket, as a Twisted program sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail

from takotwist.client.credentials import UNAVAILABLE, Credentials, kind_of, token_of
from takotwist.client.driver import GoneChoice, Seat, mode_of
from takotwist.client.errors import SubscriptionClosed
from takotwist.client.inbox import Inbox
from takotwist.client.intents import Connect
from takotwist.client.link import State
from takotwist.client.mux_machine import MuxMachine
from takotwist.client.twisted.carriers import carry_websocket
from takotwist.client.twisted.driver import Driver, Line, Signal, value_of
from takotwist.client.twisted.subscription import Subscription


@attrs.define(eq=False)
class MuxDriver(Driver[MuxMachine]):
    """The driver of a multiplexed connection.

    :ivar headers: of the upgrade, such as cookies.
    """

    headers: Mapping[str, str] = attrs.field(kw_only=True)

    async def carry(self, connect: Connect, line: Line) -> None:
        """Make a connection and read it to its end."""
        await carry_websocket(
            line,
            self.machine,
            self.reactor,
            line.endpoint,
            self.target.mux(),
            self.headers,
            self.policy.max_message_bytes,
            lambda protocol: line.tell(self.machine.opened, protocol, self.now()),
        )

    def ask_credentials(self, topic: int) -> None:
        """Ask for a topic's credentials and tell the machine."""
        if topic in self.seats:
            self.run(self._ask_credentials(topic, self.seats[topic].credentials))

    async def _ask_credentials(self, topic: int, credentials: Credentials) -> None:
        try:
            value = await value_of(credentials)
        except Exception:
            self.machine.credentials_failed(topic, UNAVAILABLE, self.now())
        else:
            self.machine.credentials_given(topic, token_of(value))
        self.pump()

    def gone_answered(self, topic: int, cursor: str | None) -> None:
        """Tell the machine where the app wants to go on."""
        self.machine.gone_answered(topic, cursor, self.now())
        self.pump()

    def give_up(self, topic: int, error: Exception) -> None:
        """The caller's own callable failed: that subscription is over."""
        self.seats[topic].inbox.end(error)
        self.machine.unsubscribed(topic)
        self.pump()


@attrs.define(eq=False)
class MuxSubscription(Subscription):
    """One topic of a multiplexed connection."""

    _machine: MuxMachine
    _subscribe: Callable[[], int]
    _topic: int | None = attrs.field(default=None, init=False)

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return State.CLOSED if self._seat.inbox.ended else self._machine.link.state

    @property
    def trouble(self) -> str | None:
        """See `Subscription.trouble`."""
        return None if self._topic is None else self._machine.trouble(self._topic)

    def publish(
        self, type: str, data: Any, *, idempotency_key: str | None = None
    ) -> Deferred[str | None]:
        """See `Subscription.publish`."""
        self.start()
        if self._topic is None:
            return fail(SubscriptionClosed("The subscription is closed."))
        return self._driver.publish(
            self._seat, self._machine.publish, self._topic, type, data, idempotency_key
        )

    async def refresh_credentials(self) -> None:
        """See `Subscription.refresh_credentials`."""
        token = token_of(await value_of(self._seat.credentials))
        if token is not None and self._topic is not None:
            self._machine.refreshed(self._topic, token)
            self._driver.pump()

    async def close(self) -> None:
        """See `Subscription.close`; the connection stays for the other topics."""
        if self._topic is not None:
            self._machine.unsubscribed(self._topic)
            self._driver.pump()
            self._driver.seats.pop(self._topic, None)
        self._seat.inbox.end(None)
        self._news.fire()

    def start(self) -> None:
        """See `Subscription.start`."""
        if self._topic is None and not self._seat.inbox.ended:
            self._topic = self._subscribe()
            self._driver.seats[self._topic] = self._seat
            self._driver.pump()


@attrs.define(eq=False)
class Mux:
    """A connection for many topics; use it in ``async with``.

    Every subscription must be read: past the bound of one that is not, nothing more
    is read for any.
    """

    _driver: MuxDriver

    def subscribe(
        self,
        channel: str,
        *,
        params: Mapping[str, Any] | None = None,
        cursor: str | None = None,
        credentials: Credentials = None,
        on_gone: GoneChoice = "reset",
    ) -> Subscription:
        """A topic on this connection.  See `takotwist.client.twisted.subscribe`.

        :param credentials: one text, or a callable that gives one.
        """
        mode, driver = mode_of(on_gone), self._driver
        inbox = Inbox(driver.policy.buffer_messages, cursor)

        def begin() -> int:
            return driver.machine.subscribed(
                channel,
                params or {},
                driver.now(),
                cursor=cursor,
                credentials=kind_of(credentials),
                on_gone=mode,
            )

        news = Signal()
        seat = Seat(inbox, credentials, on_gone, news.fire)
        return MuxSubscription(driver, seat, news, driver.machine, begin)

    async def close(self) -> None:
        """End all subscriptions and the connection."""
        self._driver.machine.closed()
        self._driver.pump()
        await self._driver.close()

    async def __aenter__(self) -> Mux:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
