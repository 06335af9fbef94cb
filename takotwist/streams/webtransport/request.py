"""The request that opens a session, and the reasons to refuse it.

The answers are HTTP's: 404 no such path, 403 not from this page, 429 too many.
A browser shows its page none of them; they are for logs and for other clients.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from attrs import frozen
from twisted.internet.interfaces import IAddress
from twisted.web.http_headers import Headers

from takotwist.streams.http3.link import Header
from takotwist.streams.webtransport.config import WebTransportConfig


@frozen
class SessionRequest:
    """An extended CONNECT for WebTransport.

    :ivar path: without the query, percent-encoded as sent.
    :ivar query: what follows the question mark, percent-encoded as sent.
    :ivar authority: the host, and port where not 443, that the client asked for.
    :ivar headers: the other fields, as for a `twisted.web` request.
    :ivar origin: the page's origin; `None` from a client that is no browser.
    :ivar peer: the client's address.
    """

    path: str
    query: str
    authority: str
    headers: Headers
    origin: str | None
    peer: IAddress

    @classmethod
    def of(cls, fields: list[Header], peer: IAddress) -> SessionRequest:
        """From the fields of the request."""
        pseudo: dict[bytes, str] = {}
        headers = Headers()
        for name, value in fields:
            if name.startswith(b":"):
                pseudo[name] = value.decode("latin-1")
            else:
                headers.addRawHeader(name, value)
        path, _, query = pseudo.get(b":path", "").partition("?")
        origin = headers.getRawHeaders(b"origin")
        return cls(
            path=path,
            query=query,
            authority=pseudo.get(b":authority", ""),
            headers=headers,
            origin=origin[0].decode("latin-1") if origin else None,
            peer=peer,
        )

    def origin_allowed(self, allowed: tuple[str, ...]) -> bool:
        """True where a page of this origin may open a session."""
        if self.origin is None or "*" in allowed:
            return True
        if allowed:
            return self.origin in allowed
        return self.origin == "https://" + self.authority.removesuffix(":443")


def choose_protocol(request: SessionRequest, config: WebTransportConfig) -> str | None:
    """The first protocol of ours that the client offers.

    `WT-Available-Protocols` is a structured list of strings (RFC 9651 section
    3.1); what is no plain string in it is passed over.
    """
    offered = set()
    for line in request.headers.getRawHeaders("wt-available-protocols") or ():
        for item in line.split(","):
            name = item.split(";")[0].strip()
            if len(name) > 2 and name[0] == name[-1] == '"':
                offered.add(name[1:-1])
    return next((name for name in config.protocols if name in offered), None)


def valid_path(path: str) -> bool:
    """True where a route can have this path."""
    parts = urlsplit(path)
    return path.startswith("/") and parts.path == path
