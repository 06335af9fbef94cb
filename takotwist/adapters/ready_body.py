"""A request body that is all there already.

Twisted's own producer for bytes hands them out by the process's global
scheduler, which neither a test's clock nor an argument can replace.
"""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer


@implementer(IBodyProducer)
@attrs.frozen(slots=True)
class _ReadyBody:
    _body: bytes

    @property
    def length(self) -> int:
        return len(self._body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """There is nothing left to pause."""

    def resumeProducing(self) -> None:
        """There is nothing left to resume."""

    def stopProducing(self) -> None:
        """There is nothing left to stop."""


def ready_body(body: bytes) -> IBodyProducer:
    """`body` for an `IAgent`."""
    return _ReadyBody(body)
