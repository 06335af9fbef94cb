"""The common face of requests: whatever serves one has all of it.

mypy cannot tell of `StreamRequest`, whose base in Twisted is untyped.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET

from takotwist.streams.http.direct import DirectRequest
from takotwist.streams.http.interface import BodyRequest, ReadableRequest, Request
from takotwist.streams.http.request import StreamRequest
from tests.streams.exchange import DirectExchange, Http1Exchange, Http2Exchange


def members(face: Any) -> set[str]:
    """The names of a protocol, those that it inherits included."""
    return {
        name
        for base in face.__mro__
        if base.__module__ == face.__module__
        for name in (*vars(base), *base.__annotations__)
        if not name.startswith("_")
    }


class TestFace(SynchronousTestCase):
    """Requests of HTTP/1.1 and HTTP/2, and one that is answered directly."""

    def ask(self, exchange: Any) -> tuple[Any, Any]:
        """A request that is under way, and its exchange."""
        requests: list[Any] = []

        def keep(request: Any) -> Any:
            requests.append(request)
            return NOT_DONE_YET

        made = exchange(keep)
        made.ask("/a?b=c")
        return requests[0], made

    def lacks(self, request: Any, face: Any) -> set[str]:
        """Names of `face` that `request` has not."""
        return {name for name in members(face) if not hasattr(request, name)}

    def test_members(self) -> None:
        """Each face has what the narrower one has, and more."""
        self.assertIn("uri", members(ReadableRequest))
        self.assertLess(members(ReadableRequest), members(Request))
        self.assertLess(members(Request), members(BodyRequest))

    def test_by_twisted_web(self) -> None:
        """A request by way of twisted.web has the whole face, on HTTP/1.1 and HTTP/2."""
        for exchange in (Http1Exchange, Http2Exchange):
            request, _ = self.ask(exchange)
            self.assertIsInstance(request, StreamRequest)
            self.assertEqual(self.lacks(request, BodyRequest), set())

    def test_directly(self) -> None:
        """A request that is answered directly has all but a body."""
        request, _ = self.ask(DirectExchange)
        self.assertIsInstance(request, DirectRequest)
        self.assertEqual(self.lacks(request, Request), set())
        self.assertIn("stream_body", self.lacks(request, BodyRequest))

    def test_same_reading(self) -> None:
        """What is read of a request is the same, whoever serves it."""
        for exchange in (Http1Exchange, DirectExchange):
            request, _ = self.ask(exchange)
            self.assertEqual(
                (request.method, request.uri, request.path, request.clientproto),
                (b"GET", b"/a?b=c", b"/a", b"HTTP/1.1"),
            )
            self.assertFalse(request.isSecure())
            self.assertFalse(request.startedWriting or request.finished or request.gone)

    def test_gone(self) -> None:
        """A client has gone when its connection is lost before the answer is whole."""
        for exchange in (Http1Exchange, DirectExchange):
            request, made = self.ask(exchange)
            request.notifyFinish().addErrback(lambda failure: failure.trap(ConnectionDone))
            made.transport.protocol.connectionLost(Failure(ConnectionDone()))
            self.assertTrue(request.gone, exchange)

    def test_answered(self) -> None:
        """A client that has its answer has not gone."""
        for exchange in (Http1Exchange, DirectExchange):
            request, _ = self.ask(exchange)
            request.finish()
            self.assertTrue(request.finished and not request.gone, exchange)
