"""A request of twisted.web, by parts that it does not show.

The streaming primitives take requests of any site of twisted.web and not of
`streams.http.site.make_site` alone, and Twisted's class does not say whether its client
has left, nor lets go of its head.  Seen in Twisted 26.10.
"""

from __future__ import annotations

from typing import Any

from twisted.web.http_headers import Headers


def is_gone(request: Any) -> bool:
    """True if the client has left: `streams.http.interface.Request.gone`, and its equivalent of
    another site's request."""
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
