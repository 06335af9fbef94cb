"""HTTP responses: JSON, refusals with their status, CORS.

Rule: this is the only place where an error becomes a response.  What goes out
is one sentence and a code, never a traceback and never a credential.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable

import attrs
import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from takotwist.core.metrics import Metrics
from takotwist.errors import (
    CredentialsMissing,
    MethodNotAllowed,
    Refusal,
    ShuttingDown,
    UpgradeRequired,
)
from takotwist.flow.refusal import refusal_of
from takotwist.interfaces import Coro
from takotwist.streams.coroutine import begin
from takotwist.streams.http.interface import ReadableRequest, Request

_logger = Logger()

#: The name of a field (RFC 9110, section 5.6.2), in lower case.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]{1,100}")

#: Methods and headers that a page may use across origins.
_CORS_METHODS = ("GET", "POST", "OPTIONS")
_CORS_HEADERS = ("authorization", "content-type", "idempotency-key", "last-event-id")

#: Fields that libraries add by themselves, for tracing and against caches.  None carries a
#: right, and nobody here reads one.
_HARMLESS = frozenset(
    {
        "b3",
        "baggage",
        "cache-control",
        "elastic-apm-traceparent",
        "newrelic",
        "pragma",
        "request-context",
        "request-id",
        "sentry-trace",
        "traceparent",
        "tracestate",
        "uber-trace-id",
        "x-amzn-trace-id",
        "x-client-trace-id",
        "x-cloud-trace-context",
        "x-correlation-id",
        "x-request-id",
    }
)
_HARMLESS_PREFIXES = ("x-datadog-", "x-b3-", "x-ot-", "ot-", "uberctx-")

#: Fields that a preflight may ask for; of one that asks for more the first are looked at.
_MAX_ASKED = 50


@attrs.define(slots=True)
class Responses:
    """Writes answers to requests.

    :ivar allows: whether a page of this origin may use the server for this request.
    :ivar headers: further fields, in lower case, that an allowed page may send.
    """

    metrics: Metrics
    allows: Callable[[ReadableRequest, str], bool]
    headers: Callable[[], Collection[str]] = tuple

    def cors(self, request: Request) -> None:
        """Let the page that asks read the answer, if its origin may."""
        origin = request.getHeader("origin")
        request.responseHeaders.addRawHeader("Vary", "Origin")
        if origin and self.allows(request, origin):
            headers = request.responseHeaders
            headers.setRawHeaders("Access-Control-Allow-Origin", [origin])
            headers.setRawHeaders("Access-Control-Allow-Credentials", ["true"])
            headers.setRawHeaders("Access-Control-Expose-Headers", ["Retry-After"])

    def preflight(
        self,
        request: Request,
        extra_header: str | None = None,
        methods: Collection[str] = _CORS_METHODS,
        more: Collection[str] = (),
    ) -> None:
        """Answer an OPTIONS request.

        :param more: further fields, in lower case, that a page may send here.
        """
        allowed_methods = ", ".join(methods)
        self.cors(request)
        headers = request.responseHeaders
        if headers.hasHeader("Access-Control-Allow-Origin"):
            headers.setRawHeaders("Access-Control-Allow-Methods", [allowed_methods])
            fields = (*self._request_headers(request, extra_header), *more)
            allowed = ", ".join(dict.fromkeys(fields))
            headers.setRawHeaders("Access-Control-Allow-Headers", [allowed])
            headers.setRawHeaders("Access-Control-Max-Age", ["600"])
        headers.setRawHeaders("Allow", [allowed_methods])
        request.setResponseCode(204)
        request.finish()

    def _request_headers(self, request: Request, extra: str | None) -> Iterable[str]:
        """The fields that an allowed page may send, each once: ours, and of those that it asks
        for the ones that do no harm or are configured."""
        also = self.headers()
        asked = (request.getHeader("access-control-request-headers") or "").lower().split(",")
        harmless = (
            name
            for name in map(str.strip, asked[:_MAX_ASKED])
            if _TOKEN.fullmatch(name)
            and (name in _HARMLESS or name in also or name.startswith(_HARMLESS_PREFIXES))
        )
        return dict.fromkeys((*_CORS_HEADERS, *([extra.lower()] if extra else ()), *harmless))

    def json(self, request: Request, body: bytes, status: int = 200) -> None:
        """Answer with JSON that is encoded already."""
        self.json_head(request, body, status)
        self.send(request, body)

    def json_head(self, request: Request, body: bytes, status: int = 200) -> None:
        """Say that JSON comes; `send` sends it."""
        headers = request.responseHeaders
        request.setResponseCode(status)
        headers.setRawHeaders("Content-Type", ["application/json"])
        headers.setRawHeaders("Cache-Control", ["no-store"])
        headers.setRawHeaders("X-Content-Type-Options", ["nosniff"])
        headers.setRawHeaders("Content-Length", [str(len(body))])

    def send(self, request: Request, body: bytes) -> None:
        """Send a whole body, and end."""
        if request.method != b"HEAD":
            request.write(body)
        request.finish()

    def count(self, refusal: Refusal) -> None:
        """Count a refusal that a frame or a line says; `refuse` and `close_of` count theirs."""
        self.metrics.refusals[refusal.code] += 1

    def close_of(self, refusal: Refusal | None) -> tuple[int, str]:
        """The code and reason that close a connection (protocol, section 5).

        A server that stops refuses nobody: that end is not counted.

        :param refusal: `None` where the connection has lived as long as it may.
        """
        if refusal is None:
            return 1000, "connection expired"
        if not isinstance(refusal, ShuttingDown):
            self.count(refusal)
        return refusal.close_code, refusal.code

    def refuse(self, request: Request, refusal: Refusal) -> None:
        """Answer with a refusal (protocol, section 3)."""
        self.count(refusal)
        headers = request.responseHeaders
        wait = retry_seconds(refusal)
        if wait is not None:
            headers.setRawHeaders("Retry-After", [str(wait)])
        if isinstance(refusal, MethodNotAllowed):
            headers.setRawHeaders("Allow", [", ".join(refusal.allow)])
        if isinstance(refusal, CredentialsMissing):
            headers.setRawHeaders("WWW-Authenticate", ['Bearer realm="takotwist"'])
        if isinstance(refusal, UpgradeRequired):
            headers.setRawHeaders("Upgrade", ["websocket"])
            headers.setRawHeaders("Connection", ["Upgrade"])
        self.json(request, encode_refusal(refusal), refusal.http_status)

    def run(self, request: Request, answering: Callable[[], Coro[None]]) -> object:
        """Answer `request` by a coroutine; its refusals and failures become answers too.

        :param answering: makes the coroutine.  It is cancelled when the peer leaves.
        :return: what a `twisted.web` resource's ``render`` returns.
        """
        try:
            done = begin(answering())
        except Exception:
            self._failed(Failure(), request)
            return NOT_DONE_YET
        if done is not None:
            self._wait(request, done)
        return NOT_DONE_YET

    def _wait(self, request: Request, done: Deferred[None]) -> None:
        gone = request.notifyFinish()
        gone.addErrback(lambda _: done.cancel())
        done.addErrback(self._failed, request)
        done.addErrback(lambda failure: _logger.failure("answering a request failed", failure))

    def _failed(self, failure: Failure, request: Request) -> None:
        if failure.check(CancelledError):
            return
        refusal = refusal_of(failure, _logger, "answering {path} failed", path=request.path)
        if request.gone or request.finished:
            return
        if request.startedWriting:
            # Half an answer cannot become an error; what is left is to break it off.
            request.loseConnection()
            return
        self.cors(request)
        self.refuse(request, refusal)


def retry_seconds(refusal: Refusal) -> int | None:
    """For ``Retry-After``, which takes whole seconds; `None` where there is nothing to say."""
    after = refusal.retry_after
    return None if after is None else max(1, math.ceil(after))


def encode_refusal(refusal: Refusal) -> bytes:
    """``{"error":...,"code":...}``."""
    return msgspec.json.encode({"error": refusal.sentence, "code": refusal.code})
