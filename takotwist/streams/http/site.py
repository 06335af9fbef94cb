"""An HTTP/1.1 and HTTP/2 server for a tree of resources, bounded and quiet.

Twisted's own `Site` with our channels and requests.  Rule: nothing that a client
sends can make it log a credential, answer in HTML, wait without a deadline or
hold more than its limits say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs
import msgspec
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.web import server
from twisted.web.http import Request as TwistedRequest
from twisted.web.resource import IResource

from takotwist.streams.http.connection import Answering, Direct, HttpConnection, NewConnections
from takotwist.streams.http.interface import Request
from takotwist.streams.http.known_heads import MAX_HEAD, KnownHeads
from takotwist.streams.http.limits import BodyRule, HttpLimits
from takotwist.streams.http.request import StreamRequest
from takotwist.streams.unfinished import Unfinished

#: How long a new connection is expected to bring its first request, where we want to end.
#: A browser also makes connections that it may need, and that bring none.
FIRST_REQUEST_SECONDS = 1.0

#: Status and sentence -> content type and body of an error's answer.
ErrorBody = Callable[[int, str], tuple[bytes, bytes]]


def json_error(status: int, sentence: str) -> tuple[bytes, bytes]:
    """``{"error": sentence}``."""
    return b"application/json", msgspec.json.encode({"error": sentence})


@attrs.frozen(slots=True)
class Access:
    """One answered request, for an access log.  It has no query, which may hold a credential.

    :ivar sent: bytes of the body.
    :ivar peer: the socket's other end; `None` on a Unix socket.
    """

    method: str
    path: str
    version: str
    status: int
    sent: int
    peer: str | None


class HttpSite(server.Site):
    """Made by `make_site`.

    :ivar connections: see `ConnectionSite`.
    :ivar keeps: `False` where connections of HTTP/1.1 are not kept for another request.
    """

    noisy = False
    requestFactory = StreamRequest

    def __init__(
        self,
        resource: IResource,
        reactor: IReactorTime,
        limits: HttpLimits,
        error_body: ErrorBody,
        body_rule: BodyRule | None,
        on_access: Callable[[Access], None] | None,
        direct: Direct,
        known_heads: KnownHeads,
        unfinished: Unfinished,
    ) -> None:
        server.Site.__init__(self, resource, reactor=reactor)
        self.limits = limits
        self.error_body = error_body
        self.body_rule: BodyRule = body_rule or (lambda _method, _path: limits.max_body)
        self.on_access = on_access
        self.direct = direct
        self.known_heads = known_heads
        self.unfinished = unfinished
        self.new_connections: NewConnections[HttpConnection] = NewConnections(
            reactor, limits.head_timeout, HttpConnection.overdue
        )
        self.connections: set[Answering] = set()
        self.keeps = True

    def keep_no_longer(self) -> None:
        """Let connections of HTTP/1.1 end with the answer that is next.

        One that is used again with a GET ends without an answer.  Rejected, ending those that
        are not in use at once: a request of a client's that had none under way would meet it.
        """
        self.keeps = False

    def is_answering(self) -> bool:
        """Tell whether a request is under way, or may be: of a connection that was taken a
        moment ago the request may not have come yet, and nobody else can answer it.

        What was answered directly and goes on ends in its own way, and does not count.
        """
        return any(
            one.is_answering() for one in self.connections
        ) or self.new_connections.has_younger(FIRST_REQUEST_SECONDS)

    def leave(self) -> None:
        """Tell clients to send no more requests here; what is under way goes on."""
        for connection in list(self.connections):
            connection.leave()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return HttpConnection(self)

    def startFactory(self) -> None:
        """Nothing: Twisted's would open a log file and keep a clock of its own."""

    def stopFactory(self) -> None:
        """Nothing was started."""

    def log(self, request: Request | TwistedRequest) -> None:
        if self.on_access is not None:
            self.on_access(
                Access(
                    method=request.method.decode("latin-1"),
                    path=request.path.decode("latin-1"),
                    version=request.clientproto.decode("latin-1"),
                    status=request.code,
                    sent=request.sentLength,
                    peer=getattr(request.client, "host", None),
                )
            )


def make_site(
    resource: IResource,
    reactor: IReactorTime,
    limits: HttpLimits | None = None,
    *,
    error_body: ErrorBody = json_error,
    body_rule: BodyRule | None = None,
    on_access: Callable[[Access], None] | None = None,
    direct: Direct = lambda path: None,
    values_read: Iterable[str] | None = None,
    unfinished: Unfinished | None = None,
    max_known_head: int = MAX_HEAD,
) -> HttpSite:
    """A factory to listen with; over TLS it offers HTTP/2 by ALPN.

    :param resource: the root of the tree, or a leaf that answers everything.
    :param limits: `HttpLimits()` where absent.
    :param error_body: makes the body of an error that arises before a resource is asked.
    :param body_rule: how many bytes a body may have, or `Body.STREAMED`, by method
        and path; `HttpLimits.max_body` for all where absent.
    :param on_access: called after each answer.
    :param direct: finds what answers a plain GET of a path without twisted.web, for what is
        asked often and answered for long.  The resource answers the same path too:
        whatever is not plain, or not the first on its connection, comes to it.
    :param values_read: names of all fields whose values the resource looks at before it has
        a request remembered (`StreamRequest.remember`); all fields where absent.
    :param unfinished: counts bodies that are not whole, where other sites, or WebSockets,
        share the bound.
    :param max_known_head: bytes of a head that may be remembered; 0: none is.
    """
    bounds = limits or HttpLimits()
    # Nothing is remembered here that would be refused for its size.
    longest = min(max_known_head, bounds.max_head, bounds.max_line)
    return HttpSite(
        resource,
        reactor,
        bounds,
        error_body,
        body_rule,
        on_access,
        direct,
        KnownHeads(values_read, longest),
        Unfinished(reactor) if unfinished is None else unfinished,
    )
