"""The client for Twisted programs.

async with subscribe(reactor, "https://app.example", "chat", params={"roomId": "a"}) as chat:
    async for event in chat:
        ...
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IStreamClientEndpoint

from takotwist.client.connections import SharedConnection, connection_for
from takotwist.client.credentials import Credentials
from takotwist.client.driver import GoneChoice
from takotwist.client.events import History
from takotwist.client.machine.policy import Policy, Transport
from takotwist.client.options import SubscriptionOptions
from takotwist.client.target import Target
from takotwist.client.twisted.driver import Driver, Mux, Presence, Subscription
from takotwist.client.twisted.page import history

__all__ = ["History", "Mux", "Presence", "Subscription", "connect", "history", "subscribe"]


def subscribe(
    reactor: object,
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
    endpoint: IStreamClientEndpoint | None = None,
    random: Callable[[], float] = random.random,
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
    :param endpoint: where the server is, if the URL alone does not say.
    :param random: gives a float in [0, 1), for the jitter.
    :raises ValueError: `url` or `on_gone` is none, or a header cannot be sent; no value of
        one is repeated.
    :raises Refusal: `channel`, `params` or `cursor` cannot be sent; names it.
    """
    policy, target = policy or Policy(), Target.of(url)
    options = SubscriptionOptions(
        channel, params, cursor, credentials, on_gone, transport, header, auth_frame, presence
    )
    connection, begin = connection_for(options, policy, random)
    driver = Driver.on(reactor, connection, policy, target, ca_file, endpoint)
    return Subscription(driver, options, lambda _: begin(driver.now()), own=True)


def connect(
    reactor: object,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    ca_file: str | None = None,
    policy: Policy | None = None,
    endpoint: IStreamClientEndpoint | None = None,
    random: Callable[[], float] = random.random,
) -> Mux:
    """A connection for many topics; it is made with the first of them.

    :param url: as for `subscribe`; one with a path is the connection's own address.
    :param headers: of the upgrade, such as a cookie.
    """
    policy, target = policy or Policy(), Target.of(url)
    connection = SharedConnection.of(headers, policy, random)
    return Mux(Driver.on(reactor, connection, policy, target, ca_file, endpoint), connection)
