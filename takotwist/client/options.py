"""Arguments of one subscription, whatever loop it runs on.

The I/O adapters show them to their callers; what follows from them is here.
Rule: nothing here waits.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping

import attrs

from takotwist.client.credentials import Credentials, CredentialsValue, headers_of, kind_of
from takotwist.client.driver import GoneChoice, SubscriptionState, mode_of
from takotwist.client.machine.machine import Connect
from takotwist.client.machine.mux import MuxMachine
from takotwist.client.machine.policy import Policy, Transport
from takotwist.client.machine.subscription import SubscriptionMachine
from takotwist.client.receive_queue import ReceiveQueue
from takotwist.client.target import Target
from takotwist.codecs.query import check_channel, check_cursor, given
from takotwist.core.json_values import JsonObject


def _key() -> str:
    return uuid.uuid4().hex


def mux_machine(policy: Policy, random: Callable[[], float]) -> MuxMachine:
    """The machine of a connection for many topics."""
    return MuxMachine.idle(policy=policy, random=random, make_key=_key)


def _plain(params: Mapping[str, object] | None) -> JsonObject:
    return {} if params is None else given(params)


def _is_choice(options: object, attribute: object, choice: GoneChoice) -> None:
    mode_of(choice)


@attrs.frozen(slots=True)
class SubscriptionOptions:
    """One topic, and how it is wanted; see `takotwist.client.asyncio.subscribe`.

    `transport`, `header`, `auth_frame` and `presence` are of a connection of its own.

    :raises ValueError: `on_gone` is none, or a header of fixed credentials cannot be sent.
    :raises Refusal: a channel, params or cursor that cannot be sent; names it.
    """

    channel: str = attrs.field(converter=check_channel)
    params: JsonObject = attrs.field(converter=_plain)
    cursor: str | None = attrs.field(converter=check_cursor)
    credentials: Credentials = attrs.field(repr=False)
    on_gone: GoneChoice = attrs.field(validator=_is_choice)
    transport: Transport = "auto"
    header: str = "authorization"
    auth_frame: bool = False
    presence: bool = False

    def __attrs_post_init__(self) -> None:
        # What is fixed would be refused at each connection alike.
        if not callable(self.credentials):
            headers_of(self.credentials, self.header)

    def machine(self, policy: Policy, random: Callable[[], float]) -> SubscriptionMachine:
        """The machine of a connection of its own."""
        return SubscriptionMachine.starting_at(
            self.cursor,
            self.params,
            policy=policy,
            random=random,
            make_key=_key,
            transport="sse" if self.presence else self.transport,
            credentials=kind_of(self.credentials),
            on_gone=mode_of(self.on_gone),
            channel=self.channel,
        )

    def subscription_state(self, policy: Policy, news: Callable[[], None]) -> SubscriptionState:
        """Its receive queue, with the callbacks.

        :param news: called when there is something to take.
        """
        queue = ReceiveQueue(policy.buffer_messages, self.cursor)
        return SubscriptionState(queue, self.credentials, self.on_gone, news)

    def sse(
        self, target: Target, connect: Connect, value: CredentialsValue
    ) -> tuple[str, dict[str, str]]:
        """URL and headers of a request for an event stream.

        :param value: the credentials of this moment.
        """
        url = target.sse(
            self.channel,
            self.params,
            stale_reset=connect.stale_reset,
            presence=self.presence,
        )
        headers = headers_of(value, self.header)
        if connect.cursor is not None:
            headers["Last-Event-ID"] = connect.cursor
        return url, headers

    def websocket(
        self, target: Target, connect: Connect, value: CredentialsValue
    ) -> tuple[str, dict[str, str]]:
        """URL and headers of an upgrade; without credentials where the first frame has them."""
        url = target.websocket(
            self.channel, self.params, cursor=connect.cursor, stale_reset=connect.stale_reset
        )
        return url, {} if self.auth_frame else headers_of(value, self.header)
