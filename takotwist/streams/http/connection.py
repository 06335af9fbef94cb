"""The first bytes of a connection, its protocol by them, and the handshake timeout.

A plain GET of something that is answered for long is read and answered here
(`DirectRequest`); everything else is twisted.web's.  Rule: what is answered directly is
seen by the client exactly as if twisted.web had, and the connection goes on there.

New connections that have sent nothing yet share one timer (`NewConnections`): most send
something within a millisecond, and a timer of its own would be a good part of what such
a connection costs.  Rule: all wait equally long, so the first to come is the first due,
and the timer is for that one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar
from typing import Protocol as Interface

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.streams.http.direct import DirectRequest, DirectStream
from takotwist.streams.http.head import read_head
from takotwist.streams.http.http1 import MAX_HELD, Http1Channel
from takotwist.streams.http.http2 import Http2Connection
from takotwist.streams.http.interface import Request
from takotwist.streams.http.limits import HttpLimits
from takotwist.streams.unfinished import Incoming, Unfinished

#: Path without query -> what answers a GET of it, or `None`.  It may still say `False`,
#: and then has done nothing.
Direct = Callable[[bytes], Callable[[Request], bool] | None]

_log = Logger()


class Answering(Interface):
    """A connection that may be answering a request."""

    def is_answering(self) -> bool:
        """Tell whether a request is under way, or a part of an answer to be sent."""

    def leave(self) -> None:
        """Tell the client to send no more requests here, where the protocol has such a word."""


class ConnectionSite(Interface):
    """The site of a connection, as far as its first bytes need it.

    :ivar direct: finds what answers a plain GET of a path without twisted.web.
    :ivar connections: those whose requests are answered, but for streams that were begun
        directly: they end in their own way, and there may be ten thousand.
    """

    limits: HttpLimits
    direct: Direct
    new_connections: NewConnections[HttpConnection]
    unfinished: Unfinished
    connections: set[Answering]


class HttpConnection(Protocol):
    """One connection, which becomes one of HTTP/1.1, of HTTP/2 where TLS has agreed on it, or
    is answered directly first.

    :ivar site: whose `direct` says what is answered directly.
    :ivar answering: what is told when the client goes, while something is answered directly.
    """

    transport: Any
    #: Whose the connection is, when it is not ours any more.
    _channel: Any = None
    answering: DirectRequest | DirectStream | None = None
    #: What came behind a request that is being answered directly.
    _held = b""
    _incoming: Incoming | None = None

    def __init__(self, site: ConnectionSite) -> None:
        self.site = site

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        self.site.new_connections.add(self)

    def dataReceived(self, data: bytes) -> None:
        if self._channel is not None:
            self._channel.dataReceived(data)
        elif self.answering is not None:
            self._hold(data)
        else:
            seconds = self.site.new_connections.remove(self)
            if getattr(self.transport, "negotiatedProtocol", None) == b"h2":
                self._to_http2().dataReceived(data)
            elif not self._answer_directly(data):
                self._to_http1(seconds).dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._channel is not None:
            self._channel.connectionLost(reason)
        elif self.answering is not None:
            self._take_held()
            answering, self.answering = self.answering, None
            self.site.connections.discard(self)
            answering.lost(reason)
        elif self in self.site.new_connections:
            self.site.new_connections.remove(self)

    def is_answering(self) -> bool:
        """Implement `Answering`: the first request is answered directly, and was not at once."""
        return isinstance(self.answering, DirectRequest)

    def leave(self) -> None:
        """Implement `Answering`."""

    def overdue(self) -> None:
        """Nothing has come for too long."""
        self._to_http1(0).timeoutConnection()

    def _to_http1(self, seconds: float | None) -> Any:
        channel = self._channel = Http1Channel(self.site)
        channel.makeConnection(self.transport)
        channel.waits(seconds)
        return channel

    def _to_http2(self) -> Any:
        channel = self._channel = Http2Connection(self.site)
        channel.makeConnection(self.transport)
        # So that the transport's pressure reaches the sending loop.
        self.transport.registerProducer(channel, True)
        return channel

    # the direct way

    def _answer_directly(self, data: bytes) -> bool:
        """Answer the request that `data` begins with, where it is a plain one."""
        limits, path = self.site.limits, data[4 : data.find(b" ", 4)].partition(b"?")[0]
        answer = self.site.direct(path) if data.startswith(b"GET /") else None
        head = answer and read_head(data, min(limits.max_head, limits.max_line), limits.max_headers)
        if not answer or not head:
            return False
        request = self.answering = DirectRequest(self, head)
        if len(data) > head.length:
            self._hold(data[head.length :])
        try:
            answers = answer(request)
        except Exception:
            _log.failure("A request failed")
            self.transport.abortConnection()
            return True
        if not answers:
            self.answering = None
            self._take_held()
        elif self.answering is request:
            # Somebody else is asked first, such as the app.
            self.site.connections.add(self)
        return answers

    def answered(self) -> None:
        """The answer has ended; whatever comes on the connection next is twisted.web's."""
        self.answering = None
        self.site.connections.discard(self)
        if self.transport.disconnecting:
            return
        channel, held = self._to_http1(None), self._take_held()
        if held:
            channel.dataReceived(held)

    def give_to(self, protocol: object) -> bytes:
        """Let `protocol` have the connection in the place of an answer.

        :return: what came behind the request.
        """
        self.answering, self._channel = None, protocol
        self.site.connections.discard(self)
        return self._take_held()

    def _hold(self, data: bytes) -> None:
        self._held += data
        if self._incoming is None:
            self._incoming = self.site.unfinished.begin(lambda _: self.transport.abortConnection())
            # No time passes for it: that it is not read is our wish.
            self._incoming.wait()
        self._incoming.holds(len(self._held))
        if len(self._held) > MAX_HELD:
            self.transport.pauseProducing()

    def _take_held(self) -> bytes:
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.end()
        held, self._held = self._held, b""
        if len(held) > MAX_HELD:
            self.transport.resumeProducing()
        return held


C = TypeVar("C", bound=Hashable)

#: Two sums of the same seconds may differ in their last digit; a timer that found
#: nothing due for that would be due again, and again.
_SAME_MOMENT = 0.001


@attrs.define(slots=True, eq=False)
class NewConnections(Generic[C]):
    """The connections that have sent nothing yet, and their handshake timeout.

    :param seconds: how long each may take.
    :param overdue: called with each that took longer; it is no longer waited for then.
    """

    _reactor: IReactorTime
    _seconds: float
    _overdue: Callable[[C], object]
    _due: dict[C, float] = attrs.field(factory=dict, init=False)
    _timer: IDelayedCall | None = attrs.field(default=None, init=False)

    def add(self, connection: C) -> None:
        """Wait for `connection` from now on."""
        self._due[connection] = self._reactor.seconds() + self._seconds
        if self._timer is None:
            self._timer = self._reactor.callLater(self._seconds, self._look)

    def remove(self, connection: C) -> float:
        """It has spoken, or has gone.  How many seconds it had left."""
        due = self._due.pop(connection)
        if not self._due and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return max(0.0, due - self._reactor.seconds())

    def has_younger(self, seconds: float) -> bool:
        """Tell whether one of them is not waited for so long yet."""
        if not self._due:
            return False
        last = next(reversed(self._due.values()))
        return last - self._seconds + seconds > self._reactor.seconds()

    def __contains__(self, connection: C) -> bool:
        return connection in self._due

    def _look(self) -> None:
        self._timer = None
        now = self._reactor.seconds()
        late = []
        for connection, due in self._due.items():
            if due > now + _SAME_MOMENT:
                self._timer = self._reactor.callLater(due - now, self._look)
                break
            late.append(connection)
        for connection in late:
            del self._due[connection]
        for connection in late:
            self._overdue(connection)
