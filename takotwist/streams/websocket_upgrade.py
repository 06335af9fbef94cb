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

from takotwist.streams.websocket_config import WebSocketConfig
from takotwist.streams.websocket_connection import WebSocketConnection
from takotwist.streams.websocket_deflate import agree
from takotwist.streams.websocket_handshake import tokens
from takotwist.streams.websocket_protocol import AutobahnProtocol


def _ignore(*_: Any) -> None:
    pass


@attrs.define(slots=True, eq=False)
class WebSocketUpgrade:
    """Upgrades requests to connections of one `config`.  Build it once.

    Of the config it uses the sizes, `deflate` and `close_timeout`; `streams.websocket`
    drives the rest.

    :param reactor: for the bounded wait of a close.
    """

    config: WebSocketConfig
    _reactor: IReactorTime
    _factory: Any = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        factory = self._factory = WebSocketServerFactory(reactor=self._reactor, server="")
        factory.maxFramePayloadSize = self.config.max_frame_size
        factory.maxMessagePayloadSize = self.config.max_message_size
        factory.compress_from = self.config.deflate.compress_from if self.config.deflate else 0

    def upgrade(
        self,
        request: Any,
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
        channel = request.channel
        if request._disconnected or channel is None:
            return None
        if not isinstance(channel, HTTPChannel):
            raise ValueError("only a request of HTTP/1.1 can be upgraded")
        if channel.transport is None:
            return None
        key = request.requestHeaders.getRawHeaders(b"sec-websocket-key")[0].strip().decode("ascii")
        waiting, request.notifications = request.notifications, []
        connection = WebSocketConnection(
            self._reactor,
            self.config.close_timeout,
            waiting,
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
        early = _take_over(channel, protocol, connection)
        protocol.accept(key, subprotocol, dict(headers or {}), deflate)
        connection.opened(protocol)
        if early:
            protocol.dataReceived(early)
        return connection

    def _agree_on_deflate(self, protocol: AutobahnProtocol, request: Any) -> Any:
        if self.config.deflate is None:
            return None
        lines = request.requestHeaders.getRawHeaders(b"sec-websocket-extensions") or ()
        offers = protocol._parseExtensionsHeader(b",".join(tokens(lines)).decode("latin-1"))
        return agree(offers, self.config.deflate, self.config.max_message_size)


def _take_over(channel: Any, protocol: AutobahnProtocol, connection: WebSocketConnection) -> bytes:
    """Put `protocol` in the place of twisted.web's on its transport.

    :return: what came from the client behind its handshake.
    """
    transport, channel.transport = channel.transport, None
    producer = channel._networkProducer
    producer.unregisterProducer()
    channel.setTimeout(None)
    early = b"".join(channel._dataBuffer)
    channel._dataBuffer = []
    for request in channel.requests:
        request.channel = None
    channel.requests = []
    # The line receiver that called us may still hold bytes of the same read.
    channel.rawDataReceived = protocol.dataReceived
    if isinstance(transport, ProtocolWrapper):
        transport.wrappedProtocol = protocol
    elif isinstance(getattr(transport, "protocol", None), ProtocolWrapper):
        transport.protocol.wrappedProtocol = protocol
    else:
        transport.protocol = protocol
    protocol.makeConnection(transport)
    if ITCPTransport.providedBy(transport):
        # Twisted's own channel sets it; a request of another one may have not.
        transport.setTcpNoDelay(True)
    producer.registerProducer(connection, True)
    # It was paused if the client sent much behind its handshake.
    producer.resumeProducing()
    return early
