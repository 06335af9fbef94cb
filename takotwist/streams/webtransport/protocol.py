"""Twisted protocols and handler tasks on a WebTransport session.

`run_protocol`: whatever speaks over a TCP connection speaks over a stream, be it
`LineReceiver`, AMP, or the line-framed channel protocol.  Pausing, producers, half-close and
the loss of the connection mean what they mean there.

`Work`: the coroutines of one session.  Each may come to its own end when the session does; what
has not after a while is cancelled, so nothing of a session outlasts it for long.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    IReactorTime,
    ITransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from takotwist.streams.webtransport.errors import BufferFull, SessionClosed, WebTransportError
from takotwist.streams.webtransport.stream import WebTransportStream


def run_protocol(
    stream: WebTransportStream, protocol: IProtocol, *, on_lost: Callable[[], None] = lambda: None
) -> StreamTransport:
    """Give a bidirectional `stream` to `protocol`.

    :param on_lost: called after the protocol's `connectionLost`.
    """
    transport = StreamTransport(stream, protocol, on_lost)
    protocol.makeConnection(transport)
    stream.receive_by(transport)
    return transport


@implementer(ITransport, IPushProducer, IConsumer)
class StreamTransport:
    """The transport of a protocol on a stream."""

    disconnecting = False

    def __init__(
        self, stream: WebTransportStream, protocol: IProtocol, on_lost: Callable[[], None]
    ) -> None:
        self._stream, self._protocol, self._on_lost = stream, protocol, on_lost
        self._producer: Any = None
        self._lost = False

    # From the stream

    def data_received(self, data: bytes) -> None:
        """The next bytes of the peer."""
        if not self._lost:
            self._protocol.dataReceived(data)

    def ended(self, error: Exception | None) -> None:
        """The peer sends no more."""
        if error is not None:
            self._lose(ConnectionLost(str(error)))
        elif IHalfCloseableProtocol.providedBy(self._protocol):
            IHalfCloseableProtocol(self._protocol).readConnectionLost()
        else:
            self.loseConnection()

    # ITransport

    def write(self, data: bytes) -> None:
        """Send; a peer that reads nothing in spite of every pause is dropped."""
        if self._lost or self.disconnecting:
            return
        try:
            self._stream.write(data)
        except BufferFull:
            self.abortConnection()
        except WebTransportError:
            # The peer reads no more; the protocol is told when reading ends too.
            return

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send these, in order."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """End both directions, after what was written."""
        if not self._lost:
            self.disconnecting = True
            self._stream.finish()
            self._lose(ConnectionDone())
            self._stream.stop()

    def abortConnection(self) -> None:
        """End both directions now."""
        if not self._lost:
            self._lose(ConnectionAborted())
            self._stream.reset()
            self._stream.stop()

    def getPeer(self) -> IAddress:
        """The client's address."""
        return self._stream.peer

    def getHost(self) -> IAddress:
        """Ours."""
        return self._stream.host

    # IPushProducer: the reading direction

    def pauseProducing(self) -> None:
        """Deliver no more; the peer stops when its window is full."""
        self._stream.pause()

    def resumeProducing(self) -> None:
        """Deliver again."""
        self._stream.resume()

    def stopProducing(self) -> None:
        """The protocol wants no more."""
        self.loseConnection()

    # IConsumer: the writing direction

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Pause `producer` when the peer reads slower than it writes.

        :raises ValueError: for a pull producer.
        """
        if not streaming:
            raise ValueError("only push producers can write to a stream")
        if self._producer is not None:
            raise RuntimeError(f"cannot register {producer}: {self._producer} is still registered")
        self._producer = producer
        self._stream.notify(producer.pauseProducing, producer.resumeProducing)
        if self._stream.paused:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """It is done."""
        self._producer = None
        self._stream.notify(lambda: None, lambda: None)

    def _lose(self, reason: Exception) -> None:
        if self._lost:
            return
        self._lost = True
        producer, self._producer = self._producer, None
        if producer is not None:
            self._stream.notify(lambda: None, lambda: None)
            producer.stopProducing()
        self._protocol.connectionLost(Failure(reason))
        self._on_lost()


class Work:
    """Tasks of a session's handler.

    :param grace: seconds from the end of the session to the cancelling.
    :param on_failure: called when something fails while the session is open; it is logged already.
    :param on_idle: called when the session is over and nothing runs any more.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        grace: float,
        on_failure: Callable[[], None],
        on_idle: Callable[[], None],
    ) -> None:
        self._clock, self._grace = clock, grace
        self._on_failure, self._on_idle = on_failure, on_idle
        self._tasks: set[Deferred[object]] = set()
        self._over = False

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def start(self, work: Coroutine[Deferred[object], object, object]) -> None:
        """Run a coroutine."""
        task = Deferred.fromCoroutine(work)
        self._tasks.add(task)
        task.addErrback(self._failed)
        task.addBoth(lambda _: self._done(task))
        if self._over and task in self._tasks:
            self._cancel_later(task)

    def end(self) -> None:
        """The session is over."""
        self._over = True
        for task in list(self._tasks):
            self._cancel_later(task)

    def cancel(self) -> None:
        """Cancel whatever still runs, now."""
        for task in list(self._tasks):
            task.cancel()

    def _cancel_later(self, task: Deferred[object]) -> None:
        call = self._clock.callLater(self._grace, task.cancel)

        def forget(result: object) -> object:
            if call.active():
                call.cancel()
            return result

        task.addBoth(forget)

    def _done(self, task: Deferred[object]) -> None:
        self._tasks.discard(task)
        if self._over and not self._tasks:
            self._on_idle()

    def _failed(self, failure: Failure) -> None:
        if self._over and failure.check(CancelledError, SessionClosed):
            return  # interrupted by the end, as it should be
        self.log.failure("WebTransport handler failed", failure)
        self._on_failure()
