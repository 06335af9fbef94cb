"""The two kinds of connection, as drivers and subscriptions use them: every topic by number.

One has a topic of its own, whose number is 0; the other carries many.  Rule: what a
machine is told and asked on behalf of a caller goes through here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Self

import attrs

from takotwist.client.credentials import headers_of, kind_of, token_of, unavailable
from takotwist.client.driver import Driver, Line, mode_of
from takotwist.client.machine.machine import Connect
from takotwist.client.machine.mux import MuxMachine
from takotwist.client.machine.policy import Policy
from takotwist.client.machine.subscription import SubscriptionMachine
from takotwist.client.options import SubscriptionOptions, mux_machine


@attrs.frozen(eq=False)
class OwnConnection:
    """For one topic.  See `takotwist.client.driver.Connection`."""

    machine: SubscriptionMachine
    options: SubscriptionOptions

    @classmethod
    def of(
        cls, options: SubscriptionOptions, policy: Policy, random: Callable[[], float]
    ) -> OwnConnection:
        """A connection that has not begun.

        :param random: gives a float in [0, 1).
        """
        return cls(options.machine(policy, random), options)

    def begin(self, now: float) -> int:
        """The caller wants it to begin; the topic's number."""
        self.machine.started(now)
        return 0

    async def carry(self, driver: Driver, connect: Connect, line: Line) -> None:
        """Make a connection and read it to its end."""
        options, machine = self.options, self.machine
        try:
            value = await driver.value_of(options.credentials)
        except Exception as failed:
            line.tell(machine.failed, unavailable(failed), driver.now())
            return
        if connect.carrier == "sse":
            await line.sse(*options.sse(driver.target, connect, value))
            return
        token = token_of(value) if options.auth_frame else None
        url, headers = options.websocket(driver.target, connect, value)
        await line.websocket(
            url,
            headers,
            lambda protocol: line.tell(machine.opened, protocol, token, driver.now()),
        )

    async def ask_credentials(self, driver: Driver, topic: int) -> None:
        """Never wanted here: `carry` asks before each connection."""
        raise NotImplementedError

    def trouble(self, topic: int) -> str | None:
        """Why there is no connection."""
        return self.machine.link.trouble

    def publish(self, topic: int, type: str, data: object, key: str | None, now: float) -> int:
        """Take a publish."""
        return self.machine.publish(type, data, now, key)

    def say(self, topic: int, state: object, now: float) -> int:
        """Never wanted here: who is there is followed on a connection for many topics."""
        raise NotImplementedError

    def subject(self, topic: int) -> str | None:
        """Nor is that."""
        raise NotImplementedError

    def refreshed(self, topic: int, token: str) -> None:
        """There are new credentials."""
        self.machine.refreshed(token)

    def gone_answered(self, topic: int, cursor: str | None, now: float) -> None:
        """The app says where to go on."""
        self.machine.gone_answered(cursor, now)

    def left(self, topic: int) -> None:
        """The caller wants no more."""
        self.machine.closed()


def _sendable(headers: Mapping[str, str]) -> Mapping[str, str]:
    return headers_of(headers, "")


@attrs.frozen(eq=False)
class SharedConnection:
    """For many topics.  See `takotwist.client.driver.Connection`.

    :ivar headers: of the upgrade, such as cookies.
    """

    machine: MuxMachine
    headers: Mapping[str, str] = attrs.field(converter=_sendable, repr=False)

    @classmethod
    def of(
        cls, headers: Mapping[str, str] | None, policy: Policy, random: Callable[[], float]
    ) -> Self:
        """A connection that has no topic yet.

        :param random: gives a float in [0, 1).
        :raises ValueError: a header cannot be sent.
        """
        return cls(mux_machine(policy, random), headers or {})

    def begin(self, options: SubscriptionOptions, now: float) -> int:
        """The caller wants a topic; its number.

        :raises ValueError: the connection has that topic already.
        :raises SubscriptionClosed: it has been closed.
        """
        return self.machine.subscribed(
            options.channel,
            options.params,
            now,
            cursor=options.cursor,
            credentials=kind_of(options.credentials),
            on_gone=mode_of(options.on_gone),
            roster=options.presence,
        )

    async def carry(self, driver: Driver, connect: Connect, line: Line) -> None:
        """Make a connection and read it to its end."""
        await line.websocket(
            driver.target.mux(),
            self.headers,
            lambda protocol: line.tell(self.machine.opened, protocol, driver.now()),
        )

    async def ask_credentials(self, driver: Driver, topic: int) -> None:
        """Ask for a topic's credentials and tell the machine."""
        subscription = driver.subscriptions.get(topic)
        if subscription is None:
            return
        try:
            value = await driver.value_of(subscription.credentials)
        except Exception as failed:
            self.machine.credentials_failed(topic, unavailable(failed), driver.now())
            return
        try:
            token = token_of(value)
        except ValueError as wrong:
            # That topic's caller is at fault, and the others go on.
            driver.give_up(topic, wrong)
        else:
            self.machine.credentials_given(topic, token)

    def trouble(self, topic: int) -> str | None:
        """Why there is no connection, or why this topic is tried again."""
        return self.machine.trouble(topic)

    def publish(self, topic: int, type: str, data: object, key: str | None, now: float) -> int:
        """Take a publish."""
        return self.machine.publish(topic, type, data, now, key)

    def say(self, topic: int, state: object, now: float) -> int:
        """The caller says something of itself."""
        return self.machine.say(topic, state, now)

    def subject(self, topic: int) -> str | None:
        """The subject of the caller at a topic."""
        return self.machine.subject(topic)

    def refreshed(self, topic: int, token: str) -> None:
        """There are new credentials of a topic."""
        self.machine.refreshed(topic, token)

    def gone_answered(self, topic: int, cursor: str | None, now: float) -> None:
        """The app says where a topic goes on."""
        self.machine.gone_answered(topic, cursor, now)

    def left(self, topic: int) -> None:
        """The caller wants no more of a topic."""
        self.machine.unsubscribed(topic)


@attrs.frozen(eq=False)
class LoneConnection(SharedConnection):
    """One for many topics, that has one and ends with it."""

    def left(self, topic: int) -> None:
        """The caller wants no more."""
        self.machine.closed()


def connection_for(
    options: SubscriptionOptions, policy: Policy, random: Callable[[], float]
) -> tuple[OwnConnection | LoneConnection, Callable[[float], int]]:
    """A connection for one subscription, and what begins it.

    :param random: gives a float in [0, 1).
    """
    if options.presence and options.transport == "websocket":
        lone = LoneConnection.of(None, policy, random)
        return lone, lambda now: lone.begin(options, now)
    own = OwnConnection.of(options, policy, random)
    return own, own.begin
