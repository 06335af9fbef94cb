"""Requests of twisted.web, and their HTTP/1.1 channel, by parts that they do not show.

The streaming primitives take requests of any site of twisted.web and not of
`streams.http.site.make_site` alone, and Twisted's class does not say whether its client
has left, nor lets go of its head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.web.http_headers import Headers


def is_gone(request: Any) -> bool:
    """True once the client has left, for a request of any site.

    Ours say so themselves (`streams.http.interface.Request.gone`).
    """
    gone = getattr(request, "gone", None)
    return bool(request._disconnected if gone is None else gone)


def drop_encoder(request: Any) -> None:
    """Send the answer as it is.  An encoder gathers before it writes, and would hold it back."""
    request._encoder = None
    request.responseHeaders.removeHeader(b"content-encoding")


def forget_head(request: Any) -> None:
    """Give back what the request holds of its head and body: two thirds of its memory.

    The query goes too, because it may hold a credential.
    """
    request.requestHeaders = Headers()
    request.responseHeaders = Headers()
    request.received_cookies = {}
    request.args = {}
    request.uri = request.path
    if request.content is not None:
        request.content.close()
        request.content = None


def has_encoder(request: object) -> bool:
    """True where the body goes through an encoder, such as twisted.web's own gzip."""
    return getattr(request, "_encoder", None) is not None


def take_transport(channel: Any, data_received: Callable[[bytes], object]) -> tuple[object, bytes]:
    """Take an HTTP/1.1 channel of twisted.web out from between its transport and `data_received`.

    :return: the transport, and the bytes that were read behind the request.
    """
    transport, channel.transport = channel.transport, None
    channel._networkProducer.unregisterProducer()
    channel.setTimeout(None)
    early = b"".join(channel._dataBuffer)
    channel._dataBuffer = []
    for one in channel.requests:
        one.channel = None
    channel.requests = []
    # The line receiver that called us may still hold bytes of the same read.
    channel.rawDataReceived = data_received
    return transport, early
