"""The body of an answer, up to a bound.

Rule: a body that is not waited for any longer leaves no connection behind.  treq's `collect` goes
on with that of one that is cancelled, for as long as who stalls in its middle keeps it open.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IResponse


class BodyTooLarge(Exception):
    """The answer goes on past its bound."""


async def bounded_body(response: IResponse, limit: int) -> bytes:
    """The body of an answer.  Cancelling closes its connection.

    :raises BodyTooLarge: it is longer than `limit` bytes.
    """
    body = _Body(limit)
    response.deliverBody(body)
    return await body.whole


class _Body(Protocol):
    """Collects it."""

    def __init__(self, limit: int) -> None:
        self.whole: Deferred[bytes] = Deferred(lambda _: self._leave())
        self._room = limit
        self._parts: list[bytes] = []
        self._left = False

    def dataReceived(self, data: bytes) -> None:
        if self._left:
            return
        self._room -= len(data)
        if self._room < 0:
            self._leave()
            self.whole.errback(BodyTooLarge())
            return
        self._parts.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._left:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(b"".join(self._parts))
        else:
            self.whole.errback(reason)

    def _leave(self) -> None:
        self._left = True
        self._parts.clear()
        if self.transport is not None:
            self.transport.loseConnection()
