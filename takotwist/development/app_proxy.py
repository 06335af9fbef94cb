"""The app's own pages behind ``tako dev``, as a proxy in front serves them in production.

So a page and its channels have one origin, over HTTPS, and cookies and redirects are what they
will be.  A WebSocket, such as that of a bundler's hot reload, is passed on too: see `app_upgrade`.
Rule: for development; it keeps no connection to the app.
"""

from __future__ import annotations

from io import BytesIO
from typing import cast

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import FileBodyProducer, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from takotwist.adapters.app_agent import app_agent
from takotwist.development.app_upgrade import asks_for_websocket, pass_on_upgrade
from takotwist.interfaces import IReactor
from takotwist.streams.http.interface import BodyRequest

#: Fields of one connection (RFC 9110, section 7.6.1), and the length, which the agent says.
_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer"
    b" transfer-encoding upgrade content-length".split()
)

_DOWN = """\
<!doctype html>
<meta charset="utf-8"><meta http-equiv="refresh" content="2"><title>The app does not answer</title>
<p>Nothing answers at {url} yet: {reason}.
<p>This page is loaded again every two seconds.
"""


class AppPages(Resource):
    """Everything that the app at `url` answers."""

    isLeaf = True

    def __init__(self, url: str, reactor: IReactor) -> None:
        Resource.__init__(self)
        self._url, self._reactor = url, reactor
        self._agent: IAgent
        self._agent, self._base, self._connections = app_agent(reactor, url, connections=8)

    def getChild(self, path: bytes, request: object) -> Resource:
        """Implement `IResource`."""
        return self

    def render(self, request: BodyRequest) -> int:
        """Implement `IResource`."""
        headers = _headers(request)
        if asks_for_websocket(request):
            pass_on_upgrade(
                self._reactor, self._url, request, headers, lambda why: self._down(why, request)
            )
            return NOT_DONE_YET
        body = request.content.read()
        producer = (
            FileBodyProducer(BytesIO(body))
            if body or request.method in (b"POST", b"PUT", b"PATCH")
            else None
        )
        # A target that is no part of a URL, such as `*`, is the agent's to refuse.
        asking: Deferred[IResponse] = maybeDeferred(
            self._agent.request,
            request.method,
            self._base.encode() + request.uri,
            headers,
            producer,
        )
        gone = request.notifyFinish()
        gone.addErrback(lambda _: asking.cancel())
        asking.addCallbacks(
            lambda response: _pass_on(response, request),
            lambda failure: self._down(failure, request),
        )
        return NOT_DONE_YET

    def _down(self, failure: Failure, request: BodyRequest) -> None:
        if request.gone:
            return
        reason = failure.getErrorMessage() or str(failure.type)
        page = _DOWN.format(url=self._url, reason=reason)
        request.setResponseCode(502)
        request.setHeader("Content-Type", "text/html; charset=utf-8")
        request.setHeader("Cache-Control", "no-store")
        request.write(page.encode())
        request.finish()


def _headers(request: BodyRequest) -> Headers:
    """The headers of the request that is passed on to the app."""
    headers = Headers()
    for name, values in request.requestHeaders.getAllRawHeaders():
        if name.lower() not in _HOP:
            headers.setRawHeaders(name, list(values))
    headers.setRawHeaders(b"x-forwarded-proto", [b"https" if request.isSecure() else b"http"])
    peer = getattr(request.client, "host", None)
    if peer is not None:
        headers.setRawHeaders(b"x-forwarded-for", [str(peer).encode()])
    return headers


def _pass_on(response: IResponse, request: BodyRequest) -> None:
    if request.gone:
        return
    request.setResponseCode(response.code, response.phrase)
    for name, values in response.headers.getAllRawHeaders():
        if name.lower() not in _HOP:
            request.responseHeaders.setRawHeaders(name, list(values))
    response.deliverBody(_Passing(request))


class _Passing(Protocol):
    """The body of an answer, at the pace of whoever asked for it."""

    def __init__(self, request: BodyRequest) -> None:
        self._request = request

    def connectionMade(self) -> None:
        """Begin."""
        if self._request.gone:
            self._stop()
            return
        self._request.notifyFinish().addErrback(lambda _: self._stop())
        self._request.registerProducer(cast(IPushProducer, self.transport), True)

    def dataReceived(self, data: bytes) -> None:
        """Pass on a part."""
        if not self._request.gone:
            self._request.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End as the app's answer did."""
        if self._request.gone:
            return
        self._request.unregisterProducer()
        if reason.check(ResponseDone, PotentialDataLoss):
            self._request.finish()
        else:
            self._request.loseConnection()

    def _stop(self) -> None:
        stop = getattr(self.transport, "stopProducing", None)
        if stop is not None:
            stop()
