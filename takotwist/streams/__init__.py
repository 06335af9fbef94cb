"""Streaming primitives that any Klein or twisted.web resource can use.

    from takotwist.streams import SseEvent, sse, websocket, serve_file, static_dir

They know nothing of channels; the channel transports stand on them.
WebTransport and HTTP/3 need the extra ``takotwist[webtransport]`` and are in
`takotwist.streams.webtransport` and `takotwist.streams.http3`.
"""

from takotwist.codecs.sse import SseEvent
from takotwist.streams.files import serve_file, static_dir
from takotwist.streams.http.limits import HttpLimits
from takotwist.streams.http.site import make_site
from takotwist.streams.sse.route import (
    json_event,
    last_event_id,
    last_event_id_bytes,
    sse,
)
from takotwist.streams.websocket.config import Deflate, WebSocketConfig
from takotwist.streams.websocket.route import ConnectionClosed, WebSocket, websocket

__all__ = [
    "ConnectionClosed",
    "Deflate",
    "HttpLimits",
    "SseEvent",
    "WebSocket",
    "WebSocketConfig",
    "json_event",
    "last_event_id",
    "last_event_id_bytes",
    "make_site",
    "serve_file",
    "sse",
    "static_dir",
    "websocket",
]
