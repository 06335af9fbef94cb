"""A page of the administrator whose content has to be waited for."""

from __future__ import annotations

from collections.abc import Awaitable

from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from takotwist.streams.http.interface import BodyRequest


class WaitingPage(Resource):
    """Answers GETs by `content`."""

    isLeaf = True
    content_type = b"application/json"
    _log = Logger()

    def content(self, request: BodyRequest) -> Awaitable[bytes]:
        """The body."""
        raise NotImplementedError

    def render_GET(self, request: BodyRequest) -> int:
        """Implement `IResource`."""
        gone = request.notifyFinish()
        answering = ensureDeferred(self._answer(request))
        gone.addErrback(lambda _: answering.cancel())
        answering.addErrback(self._failed)
        return NOT_DONE_YET

    async def _answer(self, request: BodyRequest) -> None:
        body = await self.content(request)
        request.setHeader(b"Content-Type", self.content_type)
        request.setHeader(b"Content-Length", b"%d" % len(body))
        request.write(body)
        request.finish()

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("a page failed", failure)
