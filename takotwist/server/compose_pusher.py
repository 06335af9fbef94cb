"""The parts list of the Pusher protocol.  Imported where an app of it is configured."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from takotwist.core.authorization import AuthRequest, Frame, Grant, Verdict
from takotwist.core.channel import Registry
from takotwist.errors import Refusal, VerifyRejected
from takotwist.facades.pusher.api import PusherApi
from takotwist.facades.pusher.apps import PusherApp, PusherSettings
from takotwist.facades.pusher.channels import Nobody
from takotwist.facades.pusher.hub import Hub
from takotwist.facades.pusher.names import CHANNEL, Name
from takotwist.facades.pusher.nodes import OtherNodes
from takotwist.facades.pusher.routes import PusherRoutes
from takotwist.facades.pusher.socket import PusherSockets
from takotwist.ports import IAuthorizer
from takotwist.server.compose_sentences import Sentences
from takotwist.server.config.pusher import Pusher
from takotwist.server.pusher_apps import pusher_apps
from takotwist.server.reloadable import Reloadable
from takotwist.streams.http.interface import ReadableRequest
from takotwist.streams.http.peer import OriginPolicy
from takotwist.streams.websocket.upgrade import WebSocketUpgrade
from takotwist.transports.admission import Admission

if TYPE_CHECKING:
    from takotwist.server.compose_webhooks import Webhooks

#: The parts of a socket id, the process and the connection in it, are below this.
SOCKET_ID_PART = 2**31


@implementer(IAuthorizer)
@attrs.define(slots=True)
class PusherChannelAuthorizer:
    """Decides about the channel of names without a rule, and leaves all others to `behind`.

    Public names are for everybody.  A private one is followed by Pusher's clients, which show a
    signature; by others with a token, where tokens decide about the channel.
    """

    behind: IAuthorizer
    _registry: Registry

    def authorize(self, request: AuthRequest) -> Deferred[Grant]:
        """Implement `IAuthorizer`."""
        if request.channel != CHANNEL or self._registry.get(CHANNEL).by_token:
            return self.behind.authorize(request)
        try:
            name = Name.of(request.params["name"])
        except Refusal as bad:
            return fail(VerifyRejected(bad.sentence))
        if name.signed or name.user is not None:
            return fail(VerifyRejected("Private names are for Pusher's clients, or need a token."))
        return succeed(Grant())

    def dispatch(self, frame: Frame) -> Deferred[Verdict]:
        """Implement `IAuthorizer`."""
        return self.behind.dispatch(frame)


def compose_pusher(
    config: Pusher,
    admission: Admission,
    sentences: Sentences,
    settings: Reloadable,
    upgrade: Callable[[int], WebSocketUpgrade],
    cost: Callable[[str, int], None],
    webhooks: Webhooks | None,
    *,
    wall: Callable[[], float],
    below: Callable[[int], int] = secrets.randbelow,
) -> PusherRoutes:
    """The Pusher protocol, over the server's sentences.

    :param cost: counts events against the rate of an app.
    :param webhooks: who is told what happens.
    :param below: a random number below another.
    """
    bounds = PusherSettings(
        activity_timeout=config.activity_timeout_seconds,
        max_event_bytes=config.max_event_bytes,
        max_channels=config.max_channels_per_event,
        max_batch=config.max_batch,
        max_members=config.max_members,
        max_user_info_bytes=config.max_user_info_bytes,
        max_watchlist=config.max_watchlist,
        client_event_rate=config.client_event_rate,
    )
    publishing = sentences.publishing
    number = below(SOCKET_ID_PART) + 1
    process = str(number)

    def others_of(app: PusherApp) -> OtherNodes | None:
        if publishing.log.everything:
            return None
        return OtherNodes(process, app.name, app.watchlists, publishing, sentences.attacher)

    hubs = [
        Hub(
            app,
            bounds,
            sentences.authorizing,
            publishing,
            sentences.attacher,
            sentences.flush_batch,
            sentences.deadlines,
            admission.seconds,
            (webhooks and webhooks.app_events(app.name)) or Nobody(),
            others_of(app),
        )
        for app in pusher_apps(config)
    ]
    if webhooks is not None:
        for hub in hubs:
            webhooks.watch_app(hub.app.name, hub.channels.followed, hub.channels.all_members)
    by_key = {hub.app.key: hub for hub in hubs}

    def is_secure(request: ReadableRequest) -> bool:
        return (settings.peer(request).origin or "").startswith("https:")

    sockets = PusherSockets(
        admission,
        bounds,
        by_key,
        upgrade,
        OriginPolicy.of(config.allowed_origins),
        is_secure,
        lambda: f"{number}.{below(SOCKET_ID_PART)}",
    )
    api = PusherApi(
        admission.answers,
        {hub.app.id: hub for hub in hubs},
        by_key,
        config.path,
        wall,
        lambda app, count: cost(f"pusher {app}", count),
    )
    return PusherRoutes(sockets, api, config.path.encode(), hubs)
