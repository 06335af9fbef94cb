"""The request that opens a WebTransport session, as the checks of every transport see one.

Admission and credentials are read from a `twisted.web` request; an extended
CONNECT has the same in it.  Rule: only what those readers use is here.
"""

from __future__ import annotations

from twisted.internet.interfaces import IAddress
from twisted.web.http_headers import Headers

from takotwist.streams.webtransport import SessionRequest


class ConnectRequest:
    """An extended CONNECT with the reading part of `twisted.web.iweb.IRequest`.

    :ivar uri: path and query.
    :ivar client: the address of the peer.
    :ivar requestHeaders: its fields, with the authority as ``Host``.
    """

    def __init__(self, request: SessionRequest) -> None:
        self.uri = f"{request.path}?{request.query}".encode("latin-1")
        self.client: IAddress = request.peer
        self.requestHeaders = Headers(dict(request.headers.getAllRawHeaders()))
        self.requestHeaders.setRawHeaders(b"host", [request.authority.encode("latin-1")])

    def getHeader(self, name: str) -> str | None:
        """The last field of this name."""
        values = self.requestHeaders.getRawHeaders(name)
        return values[-1] if values else None

    def getHost(self) -> None:
        """A UDP port does not say by which address it was reached."""

    def isSecure(self) -> bool:
        """QUIC is TLS, always."""
        return True
