"""WebTransport sessions on the HTTP/3 endpoint: datagrams, and streams both ways.

`webtransport(path, handler)` makes a route for `takotwist.streams.http3.Http3Server`.
Read `table`, `session`, `stream`, `receiving` and `sending` in this order.
"""

from __future__ import annotations

from takotwist.streams.webtransport.config import WebTransportConfig
from takotwist.streams.webtransport.errors import (
    BufferFull,
    DatagramTooLarge,
    SessionClosed,
    StreamFinished,
    StreamReset,
    StreamStopped,
    TooManyStreams,
    WebTransportError,
)
from takotwist.streams.webtransport.protocol import StreamTransport, run_protocol
from takotwist.streams.webtransport.request import SessionRequest
from takotwist.streams.webtransport.route import WebTransportRoute, webtransport
from takotwist.streams.webtransport.session import WebTransportSession
from takotwist.streams.webtransport.stream import WebTransportStream
from takotwist.streams.webtransport.table import Routes

__all__ = [
    "BufferFull",
    "DatagramTooLarge",
    "Routes",
    "SessionClosed",
    "SessionRequest",
    "StreamFinished",
    "StreamReset",
    "StreamStopped",
    "StreamTransport",
    "TooManyStreams",
    "WebTransportConfig",
    "WebTransportError",
    "WebTransportRoute",
    "WebTransportSession",
    "WebTransportStream",
    "run_protocol",
    "webtransport",
]
