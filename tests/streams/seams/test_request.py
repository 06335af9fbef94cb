"""Requests of sites that are not ours, by parts that Twisted does not show."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from takotwist.streams import make_site
from takotwist.streams.seams.request import drop_encoder, forget_head, is_gone


class Page(Resource):
    """Keeps each request, and answers none."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Any] = []

    def render(self, request: Any) -> int:
        """See `IResource`."""
        self.requests.append(request)
        return NOT_DONE_YET


class OfAnySite:
    """What holds of Twisted's own requests and of ours.  Tests below say whose site it is."""

    def site(self, page: Page) -> Any:
        """Where the requests come from."""
        raise NotImplementedError

    def setUp(self) -> None:
        """One request is under way."""
        page = Page()
        self.protocol = self.site(page).buildProtocol(None)
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)
        self.protocol.dataReceived(b"GET /a?b=c HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\n\r\n")
        (self.request,) = page.requests

    def test_gone(self: Any) -> None:
        """A client has left when its connection is lost, and not before."""
        self.assertFalse(is_gone(self.request))
        self.request.notifyFinish().addErrback(lambda failure: failure.trap(ConnectionDone))
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertTrue(is_gone(self.request))

    def test_answered(self: Any) -> None:
        """A client that got its answer has not left."""
        self.request.finish()
        self.assertFalse(is_gone(self.request))

    def test_drop_encoder(self: Any) -> None:
        """An encoder that was chosen sees nothing of the answer, nor does the client."""
        self.request._encoder = self
        self.request.responseHeaders.setRawHeaders(b"content-encoding", [b"gzip"])
        drop_encoder(self.request)
        self.request.write(b"plain")
        sent = self.transport.value()
        self.assertIn(b"plain", sent)
        self.assertNotIn(b"gzip", sent)

    def test_forget_head(self: Any) -> None:
        """Neither the fields nor the query stay, and the answer can still be ended."""
        forget_head(self.request)
        self.assertEqual(self.request.uri, b"/a")
        self.assertEqual(self.request.args, {})
        self.assertEqual(list(self.request.requestHeaders.getAllRawHeaders()), [])
        self.assertIsNone(self.request.getCookie(b"a"))
        self.request.finish()
        self.assertTrue(self.request.finished)


class TestTwistedRequest(OfAnySite, SynchronousTestCase):
    """Of `twisted.web.server.Site`."""

    def site(self, page: Page) -> Any:
        """See `OfAnySite`."""
        return Site(page, reactor=MemoryReactorClock())


class TestStreamRequest(OfAnySite, SynchronousTestCase):
    """Of `make_site`."""

    def site(self, page: Page) -> Any:
        """See `OfAnySite`."""
        return make_site(page, MemoryReactorClock())
