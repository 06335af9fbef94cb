"""An app of Pusher's as it is configured, and what holds for all of them."""

from __future__ import annotations

import attrs

from takotwist.facades.pusher.names import Names


@attrs.frozen(slots=True, kw_only=True)
class PusherApp:
    """One app.

    :ivar name: as it is called in the configuration.
    :ivar id: in the paths of the HTTP API; `key`: in the path of the connection.
    :ivar enabled: else it is answered that it is disabled.
    :ivar client_events: whether clients may say something to each other.
    :ivar store_client_events: they are stored in the log, where the name has no rule.
    :ivar subscription_count: clients are told how many follow a channel.
    :ivar max_connections: at the same time on this process; 0 is no limit of the app's.
    :ivar watchlists: users are told which of some others are online.
    :ivar tls_only: who comes without TLS is turned away.
    """

    name: str
    id: str
    key: str
    secret: str = attrs.field(repr=False)
    names: Names
    enabled: bool = True
    client_events: bool = False
    store_client_events: bool = False
    subscription_count: bool = False
    watchlists: bool = False
    max_connections: int = 0
    tls_only: bool = False


@attrs.frozen(slots=True, kw_only=True)
class PusherSettings:
    """Settings of all apps.

    :ivar activity_timeout: after so many seconds of silence a client asks whether we are there.
    :ivar max_event_bytes: of an event's data.
    :ivar max_channels: that one request triggers; `max_batch`: events of one request.
    :ivar max_members: of a presence channel; `max_user_info_bytes`: of what each shows.
    :ivar max_watchlist: users of a watchlist.
    :ivar client_event_rate: events a second of one connection; 0 is no limit.
    """

    activity_timeout: float = 30.0
    max_event_bytes: int = 10_240
    max_channels: int = 100
    max_batch: int = 10
    max_members: int = 100
    max_user_info_bytes: int = 1024
    max_watchlist: int = 100
    client_event_rate: float = 10.0
