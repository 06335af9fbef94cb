"""The client for asyncio programs; needs the extra ``takotwist[asyncio]``.

async with subscribe("https://app.example", "chat", params={"roomId": "a"}) as chat:
    async for event in chat:
        ...
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from takotwist.client.asyncio.driver import Driver, Mux, Presence, Subscription
from takotwist.client.asyncio.page import history
from takotwist.client.connections import SharedConnection, connection_for
from takotwist.client.credentials import Credentials
from takotwist.client.driver import GoneChoice
from takotwist.client.events import History
from takotwist.client.machine.policy import Policy, Transport
from takotwist.client.options import SubscriptionOptions
from takotwist.client.target import Target

__all__ = ["History", "Mux", "Presence", "Subscription", "connect", "history", "subscribe"]


def subscribe(
    url: str,
    channel: str,
    *,
    params: Mapping[str, object] | None = None,
    cursor: str | None = None,
    credentials: Credentials = None,
    on_gone: GoneChoice = "reset",
    transport: Transport = "auto",
    header: str = "authorization",
    auth_frame: bool = False,
    presence: bool = False,
    ca_file: str | None = None,
    policy: Policy | None = None,
) -> Subscription:
    """Subscribe to one topic, over a connection of its own.

    :param url: ``https://host``, with a base path of one's own or without, or
        ``unix:/path`` for a Unix socket.
    :param cursor: an id to resume after, ``"0"`` for all that is kept, ``"newest"`` for the
        latest state, `None` for live.
    :param credentials: the text of a header, a mapping of headers, or a callable that
        gives either and is asked before every connection.
    :param on_gone: when messages may have been missed for good: ``reset`` yields one
        `Reset` and goes on live, ``raise`` ends with `Gone`, a callable gets the
        `Gone` and gives the cursor to go on from.
    :param transport: ``auto`` is WebSocket, and SSE where the channel has no handlers.
    :param header: the header that a credentials text goes into.
    :param auth_frame: send the text in the first WebSocket frame instead.
    :param presence: follow who is at the topic (`takotwist.client.presence.Roster`), which is
        over SSE, or where `transport` is ``websocket`` over that, and begins with all who are
        there.  To be one of them, and to say something of oneself: `connect`.
    :param ca_file: PEM of the only authority to trust, as for a development certificate.
    :raises ValueError: `url` or `on_gone` is none, or a header cannot be sent; no value of
        one is repeated.
    :raises Refusal: `channel`, `params` or `cursor` cannot be sent; names it.
    """
    policy, target = policy or Policy(), Target.of(url)
    options = SubscriptionOptions(
        channel, params, cursor, credentials, on_gone, transport, header, auth_frame, presence
    )
    connection, begin = connection_for(options, policy, random.random)
    driver = Driver(connection, policy, target, ca_file)
    return Subscription(driver, options, lambda _: begin(driver.now()), own=True)


def connect(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    ca_file: str | None = None,
    policy: Policy | None = None,
) -> Mux:
    """A connection for many topics; it is made with the first of them.

    :param url: as for `subscribe`; one with a path is the connection's own address.
    :param headers: of the upgrade, such as a cookie.
    """
    policy, target = policy or Policy(), Target.of(url)
    connection = SharedConnection.of(headers, policy, random.random)
    return Mux(Driver(connection, policy, target, ca_file), connection)
