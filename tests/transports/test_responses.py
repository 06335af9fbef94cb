"""Refusals and failures as answers over HTTP."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from takotwist.core.metrics import Metrics
from takotwist.errors import (
    CredentialsMissing,
    MethodNotAllowed,
    RateLimited,
    Refusal,
    ShuttingDown,
)
from takotwist.transports.responses import Responses


class Request(DummyRequest):
    """Twisted's own stand-in, with what ours has besides."""

    def __init__(self, method: bytes = b"GET", origin: str | None = None) -> None:
        super().__init__([b"channels", b"chat"])
        self.method = method
        self.path = b"/channels/chat"
        self.gone = False
        self.startedWriting = False
        self.broken_off = False
        if origin is not None:
            self.requestHeaders.setRawHeaders("origin", [origin])

    def getHeader(self, name: Any) -> Any:
        values = self.requestHeaders.getRawHeaders(name)
        return values[-1] if values else None

    def loseConnection(self) -> None:
        """Break the answer off."""
        self.broken_off = True

    def said(self, name: str) -> str | None:
        """A header of the answer."""
        values = self.responseHeaders.getRawHeaders(name)
        return ", ".join(values) if values else None

    @property
    def json(self) -> Any:
        """The answer."""
        return json.loads(b"".join(self.written))


class TestAnswers(SynchronousTestCase):
    """`Responses`, where only pages of ``https://ours`` may ask."""

    def setUp(self) -> None:
        self.metrics = Metrics()
        self.answers = Responses(self.metrics, lambda request, origin: origin == "https://ours")

    def refused(self, refusal: Refusal) -> Request:
        """What a refusal becomes."""
        request = Request()
        self.answers.refuse(request, refusal)
        return request

    def test_refusal(self) -> None:
        """It has its status, its code, one sentence, and is counted."""
        request = self.refused(RateLimited("Slowly.", retry_after=1.2))
        self.assertEqual(request.responseCode, 429)
        self.assertEqual(request.json, {"error": "Slowly.", "code": "rate-limited"})
        self.assertEqual(request.said("Retry-After"), "2")
        self.assertEqual(self.metrics.refusals["rate-limited"], 1)

    def test_count(self) -> None:
        """A refusal that a frame says is counted under its code."""
        self.answers.count(RateLimited())
        self.answers.count(RateLimited())
        self.assertEqual(dict(self.metrics.refusals), {"rate-limited": 2})

    def test_close(self) -> None:
        """A refusal that ends a connection gives its close code and its code, and is counted."""
        self.assertEqual(
            self.answers.close_of(RateLimited()), (RateLimited.close_code, "rate-limited")
        )
        self.assertEqual(dict(self.metrics.refusals), {"rate-limited": 1})

    def test_close_without_refusal(self) -> None:
        """The end of a connection's time, or of the server, counts as no refusal."""
        self.assertEqual(self.answers.close_of(None), (1000, "connection expired"))
        stopping = ShuttingDown()
        self.assertEqual(self.answers.close_of(stopping), (stopping.close_code, stopping.code))
        self.assertEqual(dict(self.metrics.refusals), {})

    def test_headers_of_refusals(self) -> None:
        """Some say in a header what would be right."""
        self.assertIn("Bearer", self.refused(CredentialsMissing()).said("WWW-Authenticate") or "")
        request = self.refused(MethodNotAllowed(allow=("GET", "OPTIONS")))
        self.assertEqual(request.said("Allow"), "GET, OPTIONS")

    def test_cors(self) -> None:
        """Only an allowed page may read the answer; caches are told that it depends."""
        for origin, allowed in (("https://ours", "https://ours"), ("https://other", None)):
            request = Request(origin=origin)
            self.answers.cors(request)
            self.assertEqual(request.said("Access-Control-Allow-Origin"), allowed)
            self.assertEqual(request.said("Vary"), "Origin")

    def test_preflight(self) -> None:
        """It is 204, and says to an allowed page alone what it may send."""
        for origin, told in (("https://ours", True), ("https://other", False)):
            request = Request(b"OPTIONS", origin)
            self.answers.preflight(request, "x-key")
            self.assertEqual(request.responseCode, 204)
            allowed = request.said("Access-Control-Allow-Headers") or ""
            self.assertEqual("x-key" in allowed, told)

    def test_preflight_headers(self) -> None:
        """What tracing adds is allowed, and what is configured, where the page asks for it;
        each is named once, and nothing else is."""
        answers = Responses(self.metrics, lambda request, origin: True, lambda: ("x-app",))
        ours = "authorization, content-type, idempotency-key, last-event-id"
        for asked, extra, allowed in (
            ("", None, ours),
            ("", "Authorization", ours),
            ("Authorization,content-type", "x-key", f"{ours}, x-key"),
            ("traceparent, tracestate,baggage", None, f"{ours}, traceparent, tracestate, baggage"),
            ("b3,x-b3-traceid,sentry-trace", None, f"{ours}, b3, x-b3-traceid, sentry-trace"),
            ("X-Datadog-Trace-Id, x-request-id", None, f"{ours}, x-datadog-trace-id, x-request-id"),
            ("x-app, x-app, x-other, cookie", None, f"{ours}, x-app"),
            ("x-b3-a b, x-b3-\u00e4, x-b3-" + "a" * 200, None, ours),
            (", ".join([*(f"x-{n}" for n in range(50)), "b3"]), None, ours),
        ):
            request = Request(b"OPTIONS", "https://page")
            request.requestHeaders.setRawHeaders("access-control-request-headers", [asked])
            answers.preflight(request, extra)
            self.assertEqual(request.said("Access-Control-Allow-Headers"), allowed, asked)

    def test_head(self) -> None:
        """An answer to HEAD has the length and no body."""
        request = Request(b"HEAD")
        self.answers.json(request, b"{}")
        self.assertEqual((request.written, request.said("Content-Length")), ([], "2"))

    def test_failure(self) -> None:
        """A fault of ours is 500, goes to the log, and says nothing of our inside."""

        async def fail() -> None:
            raise KeyError("secret")

        request = Request()
        self.answers.run(request, fail)
        self.assertEqual((request.responseCode, request.json["code"]), (500, "internal-error"))
        self.assertNotIn(b"secret", b"".join(request.written))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_half_an_answer(self) -> None:
        """What fails after its first byte is broken off, never finished as if whole."""

        async def refuse() -> None:
            raise RateLimited

        request = Request()
        request.startedWriting = True
        self.answers.run(request, refuse)
        self.assertTrue(request.broken_off)
        self.assertEqual(request.written, [])

    def test_peer_leaves(self) -> None:
        """What is being done for a peer that leaves is cancelled, and nothing is written."""
        waiting: Deferred[None] = Deferred()
        ends: list[str] = []

        async def wait() -> None:
            try:
                await waiting
            except CancelledError:
                ends.append("cancelled")
                raise

        request = Request()
        self.answers.run(request, wait)
        request.processingFailed(Failure(ConnectionDone()))
        self.assertEqual((ends, request.written), (["cancelled"], []))
