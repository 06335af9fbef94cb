"""Resources for the tests of the request bridge."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer


class Recorder(Resource):
    """Answers every request with what it saw of it, and remembers it."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Any] = []

    def render(self, request: Request) -> bytes:
        self.requests.append(request)
        body = request.content.read()
        return b"|".join(
            [request.method, request.uri, request.clientproto, b"%d" % len(body), body[:20]]
        )


class Open(Resource):
    """Never answers by itself: the test writes to `request`, and sees how it `ended`."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.request: Any = None
        self.ended: list[object] = []

    def render(self, request: Request) -> int:
        self.request = request
        request.notifyFinish().addBoth(self.ended.append)
        return NOT_DONE_YET


@implementer(IPushProducer)
class PushProducer:
    """Remembers what it is told; writes `chunk` whenever it may."""

    def __init__(self, request: Any, chunk: bytes) -> None:
        self.request, self.chunk = request, chunk
        self.told: list[str] = []
        self.paused = False
        request.registerProducer(self, True)

    def fill(self, limit: int) -> int:
        """Write until paused, or up to `limit` chunks; returns how many."""
        written = 0
        while not self.paused and written < limit:
            self.request.write(self.chunk)
            written += 1
        return written

    def pauseProducing(self) -> None:
        self.paused = True
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.paused = False
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.paused = True
        self.told.append("stop")


@implementer(IPullProducer)
class PullProducer:
    """Writes one of `chunks` each time it is asked, then finishes the response."""

    def __init__(self, request: Any, chunks: list[bytes]) -> None:
        self.request, self.chunks = request, chunks
        request.registerProducer(self, False)

    def resumeProducing(self) -> None:
        self.request.write(self.chunks.pop(0))
        if not self.chunks:
            self.request.unregisterProducer()
            self.request.finish()

    def stopProducing(self) -> None:
        self.chunks.clear()
