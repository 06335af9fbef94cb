"""Routing of a listener: paths and the transports behind them.

Klein routes what is read (subscriptions, history, health); publishes and
WebSocket upgrades are taken before it, the former because it is the hot path,
the latter because they take the socket away from HTTP.  A connection that begins with a
subscription or an upgrade comes by `Root.direct`.  Rule: paths are here
and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol
from urllib.parse import unquote

import attrs
from klein import Klein
from twisted.web.resource import IResource, Resource, getChildForRequest
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from takotwist.core.channel import is_channel_name
from takotwist.errors import ChannelUnknown, NotFound, Refusal, UpgradeRequired
from takotwist.interfaces import Coro
from takotwist.streams.http.interface import BodyRequest, ReadableRequest, Request
from takotwist.streams.websocket.handshake import is_upgrade
from takotwist.transports.history import HistoryTransport
from takotwist.transports.live.routes import LiveRoutes
from takotwist.transports.presence import PresenceTransport
from takotwist.transports.publish.route import PublishTransport
from takotwist.transports.responses import Responses
from takotwist.transports.sse import SseTransport
from takotwist.transports.websocket import WebSocketTransport

#: Where a connection with many topics is opened.
CONNECT = b"/_tako/connect"


#: What a page may do with streamed messages: read, and cancel.
_STREAM_METHODS = ("GET", "HEAD", "DELETE", "OPTIONS")
_STREAM_FIELDS = ("if-none-match",)

#: What is below a channel.
_BELOW = ("history", "presence", "streams")


@attrs.frozen(slots=True)
class ChannelPath:
    """A path below one of the base paths.

    :ivar rest: ``history``, ``presence``, ``streams`` or nothing.
    :ivar stream: the segment behind ``streams/``, where there is one.
    """

    channel: str
    rest: str | None
    stream: str | None = None


def read_path(path: bytes, bases: Sequence[str]) -> ChannelPath | None:
    """The channel that a request path names, or `None` where it is none of ours.

    :param bases: base paths, each with a slash at both ends.
    :raises ChannelUnknown: the name cannot be one.
    :raises NotFound: there is nothing of this name below a channel.
    """
    text = path.decode("latin-1")
    for base in bases:
        if text.startswith(base) and len(text) > len(base):
            segment, slash, rest = text[len(base) :].partition("/")
            try:
                channel = unquote(segment, errors="strict")
            except UnicodeDecodeError:
                raise ChannelUnknown from None
            if not is_channel_name(channel):
                # Klein would answer what its rules do not match, in HTML.
                raise ChannelUnknown
            rest, deeper, stream = rest.partition("/")
            if (slash and rest not in _BELOW) or (deeper and (rest != "streams" or not stream)):
                raise NotFound
            return ChannelPath(channel, rest or None, stream or None)
    return None


class Facade(Protocol):
    """Another system's protocol over the same topics, on paths of its own."""

    def start(self) -> None:
        """The log can be used from now on."""

    def stop(self) -> None:
        """All connections were ended."""

    def serves(self, path: bytes) -> bool:
        """Tell whether a path is one of these."""

    async def answer(self, request: BodyRequest) -> None:
        """Answer a request, or an upgrade.

        :raises Refusal: and then nothing has been written.
        """


class StreamedMessageRoutes(Protocol):
    """Streamed messages of a topic."""

    async def answer(self, request: BodyRequest, channel: str, segment: str | None) -> None:
        """Answer a request.

        :param segment: of the path, behind ``streams/``.
        :raises Refusal: and then nothing has been written.
        """


@attrs.define(slots=True)
class Routes:
    """Handlers behind the paths of one listener.

    :ivar bases: base paths of channels, each with a slash at both ends.
    :ivar pages: further routes below ``/_tako/``: rule and what answers it.
    :ivar live: functions and their live objects, where the app has any.
    :ivar elsewhere: what answers every other path, such as an app's own pages.
    :ivar facades: other systems' protocols, as far as they are configured.
    :ivar check_access: raises a `Refusal` for a request that this listener does not take at all.
    """

    bases: Sequence[str]
    answers: Responses
    sse: SseTransport
    websocket: WebSocketTransport
    publish: PublishTransport
    history: HistoryTransport
    presence: PresenceTransport
    streams: StreamedMessageRoutes
    pages: Mapping[str, IResource] = attrs.field(factory=dict)
    live: LiveRoutes | None = None
    elsewhere: IResource | None = None
    check_access: Callable[[ReadableRequest], None] = lambda request: None
    facades: Sequence[Facade] = ()


@implementer(IResource)
class Answer(Resource):
    """A resource that answers by a coroutine."""

    isLeaf = True

    def __init__(self, answers: Responses, answering: Callable[[Request], Coro[None]]):
        Resource.__init__(self)
        self._answers = answers
        self._answering = answering

    def render(self, request: BodyRequest) -> object:
        """Implement `IResource`."""
        return self._answers.run(request, lambda: self._answering(request))


def klein_app(routes: Routes) -> Klein:
    """The Klein application of all that is read.

    Its endpoints return resources and not Deferreds: Klein then lets go of the
    request, which for a stream stays open for hours.
    """
    app = Klein()

    def subscribe(request: Request, channel: str) -> IResource:
        return Answer(routes.answers, lambda request: routes.sse.subscribe(request, channel))

    def history(request: Request, channel: str) -> IResource:
        return Answer(routes.answers, lambda request: routes.history.read(request, channel))

    def presence(request: BodyRequest, channel: str) -> IResource:
        return Answer(routes.answers, lambda _: routes.presence.answer(request, channel))

    for index, base in enumerate(routes.bases):
        app.route(f"{base}<channel>", endpoint=f"subscribe {index}")(subscribe)
        app.route(f"{base}<channel>/history", endpoint=f"history {index}")(history)
        app.route(f"{base}<channel>/presence", endpoint=f"presence {index}")(presence)
    for rule, page in routes.pages.items():
        app.route(rule, endpoint=rule)(lambda request, page=page: page)
    return app


async def _not_found(request: Request) -> None:
    raise NotFound


async def _upgrade_required(request: Request) -> None:
    raise UpgradeRequired


@implementer(IResource)
class Root(Resource):
    """The resource of a listener."""

    isLeaf = True

    def __init__(self, routes: Routes) -> None:
        Resource.__init__(self)
        self._routes = routes
        self._klein: IResource = klein_app(routes).resource()

    def render(self, request: BodyRequest) -> object:
        """Implement `IResource`."""
        routes = self._routes
        try:
            routes.check_access(request)
        except Refusal as refusal:
            return self._turn_away(request, refusal)
        try:
            here = read_path(request.path, routes.bases)
        except Refusal as refusal:
            routes.answers.cors(request)
            routes.answers.refuse(request, refusal)
            return NOT_DONE_YET
        if here is not None:
            return self._channel(request, here)
        if request.path == CONNECT and self._connect_many(request):
            return NOT_DONE_YET
        live = routes.live
        if live is not None and live.serves(request.path):
            return routes.answers.run(request, lambda: live.answer(request))
        if request.path == CONNECT:
            return routes.answers.run(request, lambda: _upgrade_required(request))
        for facade in routes.facades:
            if facade.serves(request.path):
                return routes.answers.run(request, partial(facade.answer, request))
        if request.path.decode("latin-1") in routes.pages:
            return self._klein.render(request)
        if routes.elsewhere is not None and not request.path.startswith(b"/_tako/"):
            request.render(getChildForRequest(routes.elsewhere, request))
            return NOT_DONE_YET
        return routes.answers.run(request, lambda: _not_found(request))

    def direct(self, path: bytes) -> Callable[[Request], bool] | None:
        """Long-lived handler of a plain GET of `path` (`streams.http.site.make_site`)."""
        try:
            here = read_path(path, self._routes.bases)
        except Refusal:
            return None
        if here is None:
            return partial(self._by_door, self._connect_many) if path == CONNECT else None
        if here.rest is not None:
            return None
        return partial(self._by_door, partial(self._follow, here.channel))

    def _by_door(self, answer: Callable[[Request], bool], request: Request) -> bool:
        try:
            self._routes.check_access(request)
        except Refusal as refusal:
            self._turn_away(request, refusal)
            return True
        return answer(request)

    def _turn_away(self, request: Request, refusal: Refusal) -> object:
        routes = self._routes

        async def refuse() -> None:
            if is_upgrade(request.requestHeaders):
                routes.websocket.turn_away(request, refusal)
            else:
                raise refusal

        return routes.answers.run(request, refuse)

    def _connect_many(self, request: Request) -> bool:
        routes = self._routes
        if not is_upgrade(request.requestHeaders):
            return False
        routes.answers.run(request, lambda: routes.websocket.connect_many(request))
        return True

    def _follow(self, channel: str, request: Request) -> bool:
        routes = self._routes
        transport = (
            routes.websocket.connect if is_upgrade(request.requestHeaders) else routes.sse.subscribe
        )
        routes.answers.run(request, lambda: transport(request, channel))
        return True

    def _channel(self, request: BodyRequest, here: ChannelPath) -> object:
        routes = self._routes
        if request.method == b"OPTIONS":
            return routes.answers.run(request, lambda: self._preflight(request, here))
        if here.rest == "streams":
            return routes.answers.run(
                request, lambda: routes.streams.answer(request, here.channel, here.stream)
            )
        if here.rest is None:
            if request.method == b"POST":
                return routes.answers.run(
                    request, lambda: routes.publish.publish(request, here.channel)
                )
            if is_upgrade(request.requestHeaders):
                self._follow(here.channel, request)
                return NOT_DONE_YET
        return self._klein.render(request)

    async def _preflight(self, request: Request, here: ChannelPath) -> None:
        definition = await self._routes.sse.admission.authorizing.find(here.channel)
        declared = definition.credentials
        header = declared.header_name if declared else None
        if here.rest == "streams":
            self._routes.answers.preflight(request, header, _STREAM_METHODS, _STREAM_FIELDS)
        else:
            self._routes.answers.preflight(request, header)
