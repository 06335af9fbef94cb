"""One subscription, as a Twisted program sees it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from takotwist.client.credentials import UNAVAILABLE, CredentialsValue, headers_of, token_of
from takotwist.client.driver import Seat
from takotwist.client.events import Event
from takotwist.client.intents import Connect
from takotwist.client.link import State
from takotwist.client.subscription_machine import SubscriptionMachine
from takotwist.client.twisted.carriers import carry_sse, carry_websocket
from takotwist.client.twisted.driver import Driver, Line, Signal, value_of


@attrs.define(eq=False)
class Subscription(ABC):
    """Messages of one topic, over as many connections as it takes.

    ``async for event in subscription`` yields `Message` and `Reset`; it ends when
    the subscription is closed and raises what it was refused with.  Use it in
    ``async with``, or call `close` when done.
    """

    _driver: Driver[Any]
    _seat: Seat
    _news: Signal

    @property
    def cursor(self) -> str | None:
        """The id of the last event that was taken; good as ``cursor=`` of a later one."""
        return self._seat.inbox.cursor

    @property
    @abstractmethod
    def state(self) -> State:
        """Where the connection stands."""

    @property
    @abstractmethod
    def trouble(self) -> str | None:
        """Why there is no connection and another is tried, such as a certificate that is not
        trusted; in words for a person.  `None` while all is well."""

    @abstractmethod
    def publish(
        self, type: str, data: Any, *, idempotency_key: str | None = None
    ) -> Deferred[str | None]:
        """Publish on the topic.

        Waits for a connection where there is none.  Over a cut it is sent again with
        the same idempotency key, so it is stored once.

        :return: fires with the stored message's id; with `None` where the app's handler
            dropped it or the server, in plain mode, does not say.
        :raises BodyInvalid: it is no message.  :raises OutgoingFull: too many wait.
        :raises Refusal: the server does not want it.
        """

    @abstractmethod
    async def refresh_credentials(self) -> None:
        """Show the server credentials that are asked for anew, before the old ones expire."""

    @abstractmethod
    async def close(self) -> None:
        """End it; publishes without an outcome fail with `SubscriptionClosed`."""

    @abstractmethod
    def start(self) -> None:
        """Connect.  Reading and publishing do it too."""

    async def __aenter__(self) -> Subscription:
        self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __aiter__(self) -> Subscription:
        self.start()
        return self

    async def __anext__(self) -> Event:
        inbox = self._seat.inbox
        while (event := inbox.take()) is None:
            if inbox.ended:
                if inbox.error is not None:
                    raise inbox.error
                raise StopAsyncIteration
            await self._news.wait()
        self._driver.took(self._seat)
        return event


@attrs.define(eq=False)
class OwnDriver(Driver[SubscriptionMachine]):
    """The driver of a subscription with a connection of its own.

    :ivar header: the header that a credentials text goes into.
    :ivar auth_frame: whether it goes into the first frame instead.
    """

    channel: str = attrs.field(kw_only=True)
    params: Mapping[str, Any] = attrs.field(kw_only=True)
    header: str = attrs.field(kw_only=True)
    auth_frame: bool = attrs.field(kw_only=True)

    async def carry(self, connect: Connect, line: Line) -> None:
        """Make a connection and read it to its end."""
        try:
            value = await value_of(self.seats[0].credentials)
        except Exception:
            line.tell(self.machine.failed, UNAVAILABLE, self.now())
            return
        if connect.carrier == "sse":
            url = self.target.sse(self.channel, self.params, stale_reset=connect.stale_reset)
            headers = headers_of(value, self.header)
            if connect.cursor is not None:
                headers["Last-Event-ID"] = connect.cursor
            await carry_sse(line, self.machine, self.client(line.endpoint), url, headers)
        else:
            await self._carry_websocket(connect, line, value)

    async def _carry_websocket(self, connect: Connect, line: Line, value: CredentialsValue) -> None:
        token = token_of(value) if self.auth_frame else None
        url = self.target.websocket(
            self.channel, self.params, cursor=connect.cursor, stale_reset=connect.stale_reset
        )
        await carry_websocket(
            line,
            self.machine,
            self.reactor,
            line.endpoint,
            url,
            {} if self.auth_frame else headers_of(value, self.header),
            self.policy.max_message_bytes,
            lambda protocol: line.tell(self.machine.opened, protocol, token, self.now()),
        )

    def ask_credentials(self, topic: int) -> None:
        """Never wanted of a subscription of its own: `carry` asks before each connection."""
        raise NotImplementedError

    def gone_answered(self, topic: int, cursor: str | None) -> None:
        """Tell the machine where the app wants to go on."""
        self.machine.gone_answered(cursor, self.now())
        self.pump()

    def give_up(self, topic: int, error: Exception) -> None:
        """The caller's own callable failed: the subscription is over."""
        self.seats[0].inbox.end(error)
        self.machine.closed()
        self.pump()


@attrs.define(eq=False)
class OwnSubscription(Subscription):
    """A subscription with a connection of its own."""

    _machine: SubscriptionMachine

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return self._machine.link.state

    @property
    def trouble(self) -> str | None:
        """See `Subscription.trouble`."""
        return self._machine.link.trouble

    def publish(
        self, type: str, data: Any, *, idempotency_key: str | None = None
    ) -> Deferred[str | None]:
        """See `Subscription.publish`."""
        self.start()
        return self._driver.publish(self._seat, self._machine.publish, type, data, idempotency_key)

    async def refresh_credentials(self) -> None:
        """See `Subscription.refresh_credentials`."""
        token = token_of(await value_of(self._seat.credentials))
        if token is not None:
            self._machine.refreshed(token)
            self._driver.pump()

    async def close(self) -> None:
        """See `Subscription.close`."""
        self._machine.closed()
        self._driver.pump()
        await self._driver.close()

    def start(self) -> None:
        """See `Subscription.start`."""
        if self._machine.link.state is State.IDLE and not self._seat.inbox.ended:
            self._machine.started(self._driver.now())
            self._driver.pump()
