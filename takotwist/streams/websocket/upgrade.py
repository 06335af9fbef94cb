"""Turns an HTTP/1.1 request into a WebSocket connection.

The caller has checked the handshake (`check_handshake`), the origin and whoever
it must, and may have taken its time: the client may be gone by now.  This
takes the socket from twisted.web, so the request ends here without an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from autobahn.twisted.websocket import WebSocketServerFactory
from twisted.internet.interfaces import IReactorTime, ITCPTransport
from twisted.protocols.policies import ProtocolWrapper
from twisted.web.http import HTTPChannel

from takotwist.streams.http.direct import DirectRequest
from takotwist.streams.http.http1 import Http1Channel
from takotwist.streams.http.interface import Request
from takotwist.streams.seams.request import is_gone, take_transport
from takotwist.streams.unfinished import Unfinished
from takotwist.streams.websocket.config import WebSocketConfig
from takotwist.streams.websocket.connection import WebSocketConnection
from takotwist.streams.websocket.handshake import accept_handshake, agree, tokens
from takotwist.streams.websocket.protocol import AutobahnProtocol


def _ignore(*_: object) -> None:
    pass


@attrs.define(slots=True, eq=False)
class WebSocketUpgrade:
    """Upgrades requests to connections of one `config`.  Build it once.

    Of the config it uses the sizes, `deflate` and `close_timeout`; `streams.websocket`
    drives the rest.

    :param reactor: for the bounded wait of a close.
    :param unfinished: counts messages that are not whole, where others share the bound.
    """

    config: WebSocketConfig
    _reactor: IReactorTime
    _unfinished: Unfinished | None = None
    _factory: Any = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        factory = self._factory = WebSocketServerFactory(reactor=self._reactor, server="")
        factory.maxFramePayloadSize = self.config.max_frame_size
        factory.maxMessagePayloadSize = self.config.max_message_size
        if self._unfinished is None:
            self._unfinished = Unfinished(self._reactor)
        factory.unfinished = self._unfinished
        factory.compress_from = self.config.deflate.compress_from if self.config.deflate else 0

    def upgrade(
        self,
        request: Request,
        *,
        on_message: Callable[[bytes, bool], object],
        on_closed: Callable[[int, str, bool], object] = _ignore,
        on_pong: Callable[[bytes], object] = _ignore,
        on_pause: Callable[[], object] = _ignore,
        on_resume: Callable[[], object] = _ignore,
        subprotocol: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> WebSocketConnection | None:
        """Answer the handshake and take the socket over.

        :param request: of HTTP/1.1, whose handshake is good and to which nothing was written.
        :param on_message: payload, and whether it is binary.  Text is valid UTF-8.
        :param on_closed: code, reason, and whether both sides closed.  Called exactly
            once.  1005 where the client gave no code, 1006 where it just went.
        :param on_pong: payload of a pong.
        :param on_pause: the client reads slower than is written.
        :param on_resume: what was written has left.
        :param subprotocol: one that the client offered, or `None`.
        :param headers: to be sent with the answer.
        :return: the connection, open; `None` when the client has gone meanwhile.
        """
        direct = isinstance(request, DirectRequest)
        if is_gone(request) or not (direct or _is_there(request.channel)):
            return None
        keys = request.requestHeaders.getRawHeaders(b"sec-websocket-key")
        assert keys is not None
        key = keys[0].strip()
        waiting, request.notifications = request.notifications, []
        connection = WebSocketConnection(
            self._reactor,
            self.config.close_timeout,
            waiting,
            self._factory.unfinished.answers,
            subprotocol=subprotocol,
            on_message=on_message,
            on_closed=on_closed,
            on_pong=on_pong,
            on_pause=on_pause,
            on_resume=on_resume,
        )
        protocol = AutobahnProtocol(connection)
        protocol.factory = self._factory
        deflate = self._agree_on_deflate(protocol, request)
        if deflate is not None:
            protocol.compress_by(deflate)
        extension = None if deflate is None else deflate.get_extension_string()
        transport, early = take_over(request, protocol)
        connection.opened(protocol)
        connection.write_frames(accept_handshake(key, subprotocol, extension, headers or {}))
        transport.registerProducer(connection, True)
        # It was paused if the client sent much behind its handshake.
        transport.resumeProducing()
        if early:
            protocol.dataReceived(early)
        return connection

    def _agree_on_deflate(self, protocol: AutobahnProtocol, request: Request) -> Any:
        if self.config.deflate is None:
            return None
        lines = request.requestHeaders.getRawHeaders(b"sec-websocket-extensions") or ()
        if not lines:
            return None
        offers = protocol._parseExtensionsHeader(b",".join(tokens(lines)).decode("latin-1"))
        agreed = agree(offers, self.config.deflate, self.config.max_message_size)
        return None if agreed is None else agreed[1]


def _is_there(channel: object) -> bool:
    if channel is not None and not isinstance(channel, HTTPChannel):
        raise ValueError("only a request of HTTP/1.1 can be upgraded")
    return channel is not None and channel.transport is not None


def take_over(request: Request, protocol: Any) -> tuple[Any, bytes]:
    """Put `protocol` in the place of HTTP's on the connection of `request`, without an answer.

    :return: the transport, and what came behind the handshake.
    """
    channel = request.channel
    if isinstance(request, DirectRequest):
        transport, early = channel.transport, channel.give_to(protocol)
    else:
        transport, early = take_transport(channel, protocol.dataReceived)
        if isinstance(channel, Http1Channel):
            channel.given_away()
    if isinstance(transport, ProtocolWrapper):
        transport.wrappedProtocol = protocol
    elif isinstance(getattr(transport, "protocol", None), ProtocolWrapper):
        transport.protocol.wrappedProtocol = protocol
    else:
        transport.protocol = protocol
    protocol.makeConnection(transport)
    if ITCPTransport.providedBy(transport):
        # Ours has set it; a channel of another site may have not.
        transport.setTcpNoDelay(True)
    return transport, early
