"""HTTP/2 on Twisted's connection, mended where a slow or early-answered peer hurts it.

Eight things: it spins when a peer's window is full; it fails on data for a stream
that was already answered, and on a request that came with its reset; its idle timer
ends quiet responses, and never a client that only pings; what a client begins has
no deadline; what it sends for nothing has no bound but for resets; a head that is
somewhat too large ends the requests beside it; and priorities fail in many ways.
"""

from __future__ import annotations

from typing import Any

from h2.connection import H2Connection as Hyper
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes, Settings
from h2.stream import StreamState
from hyperframe.frame import GoAwayFrame
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web._http2 import _END_STREAM_SENTINEL, H2Connection

from takotwist.streams.http.http2_limits import Intake
from takotwist.streams.http.limits import HEAD_FACTOR, HttpLimits
from takotwist.streams.http.response import CountedQueue
from takotwist.streams.seams.socket import unsent_bytes
from takotwist.streams.unfinished import Cut, Incoming
from takotwist.streams.unread import WATCHED_FROM, Waiting

_log = Logger()

#: In the place of a stream's id, for all that waits in the transport.
_WHOLE = -1

#: Untyped, as Twisted's class is.
_Connection: Any = H2Connection


class Http2Connection(_Connection):  # type: ignore[misc]
    """One connection of HTTP/2.

    :param site: of `streams.http.site`.
    """

    abortTimeout = 5
    _sendingDeferred: Any
    _abortingCall: object

    def __init__(self, site: Any) -> None:
        super().__init__(site.reactor)
        limits: HttpLimits = site.limits
        self.site = self.factory = site
        self.requestFactory = site.requestFactory
        self.callLater = site.reactor.callLater
        self.timeOut = limits.idle_timeout
        site.connections.add(self)
        #: Streams answered before their body was in: bytes dropped of each.
        self._dropped: dict[int, int] = {}
        #: Streams of which much waits for the client.
        self._unread: dict[int, Waiting] = {}
        conn: Hyper = self.conn
        conn.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: limits.max_streams,
                SettingCodes.MAX_HEADER_LIST_SIZE: limits.max_head,
            },
        )
        conn.decoder.max_header_list_size = HEAD_FACTOR * limits.max_head
        # A head is read although it is refused: those after it are written with its words
        # (RFC 7541, section 2.3).
        self._intake = Intake(HEAD_FACTOR * limits.max_head)
        #: A head that is not whole and already larger than one that is served.
        self._large_head: Incoming | None = None
        self._deadline: IDelayedCall | None = None
        self._watched = 0
        self._given_up = False

    def connectionMade(self) -> None:
        super().connectionMade()
        self._watch()

    def dataReceived(self, data: bytes) -> None:
        if self._given_up:
            return
        if not self._intake.take(data, self._reactor.seconds()):
            self._give_up(ErrorCodes.ENHANCE_YOUR_CALM)
            return
        try:
            super().dataReceived(data)
        except Exception:
            self._fail()
            return
        self._watch()
        self._count_head()
        self._wake()

    def connectionLost(self, reason: object, _cancelTimeouts: bool = True) -> None:
        self.site.connections.discard(self)
        self._finished()
        for stream_id in list(self._unread):
            self._taken(stream_id)
        self._forget_large_head()
        super().connectionLost(reason, _cancelTimeouts)

    def is_answering(self) -> bool:
        """Implement `Answering`."""
        return bool(self.streams) or unsent_bytes(self.transport) > 0

    def leave(self) -> None:
        """Say GOAWAY without an error: no new requests, those there are go on.

        RFC 9113, section 6.8.  As a frame of our own: h2's `close_connection` takes the
        connection for closed, and what is still to be sent would fail.
        """
        last = self.conn.highest_inbound_stream_id
        self.transport.write(GoAwayFrame(0, last_stream_id=last, error_code=0).serialize())

    # requests

    def _requestReceived(self, event: RequestReceived) -> None:
        known = self.conn.streams.get(event.stream_id)
        if known is None or known.closed:
            # Reset in the same read: all of it was parsed before we are told of the
            # first part, and what would answer now fails.  It also costs us least so.
            return
        refusal = self._head_refusal(event.headers)
        if refusal is not None:
            # Nothing is made of the rest of it.
            event.headers = [field for field in event.headers if field[0].startswith(b":")]
        # Twisted tells a client to go on before anybody has looked at what it asks.
        expected = [field for field in event.headers if field[0] == b"expect"]
        event.headers = [field for field in event.headers if field[0] != b"expect"]
        super()._requestReceived(event)
        stream = self.streams[event.stream_id]
        request = stream._request
        for name, value in expected:
            request.requestHeaders.addRawHeader(name, value)
        lengths = set(request.requestHeaders.getRawHeaders(b"content-length") or ())
        if len(lengths) > 1:
            refusal = (400, "The request states several lengths.")
        length = int(lengths.pop()) if len(lengths) == 1 else None
        request.head_received(stream.command, stream.path or b"", b"HTTP/2", length, refusal)
        if expected and request.awaits_continue:
            stream._send100Continue()
        request.begin(length)

    def _head_refusal(self, fields: list[tuple[bytes, bytes]]) -> tuple[int, str] | None:
        """Why a head is refused for its size, which counts as in RFC 9113, section 6.5.2."""
        limits: HttpLimits = self.site.limits
        if sum(len(name) + len(value) + 32 for name, value in fields) > limits.max_head:
            return 431, "The request's head is too large."
        # Browsers write each cookie apart (section 8.2.3).
        lines = {name for name, _ in fields if name == b"cookie"}
        count = sum(name != b"cookie" and not name.startswith(b":") for name, _ in fields)
        if count + len(lines) > limits.max_headers:
            return 431, "The request's head has too many lines."
        return None

    def _requestDataReceived(self, event: DataReceived) -> None:
        if event.stream_id in self.streams:
            super()._requestDataReceived(event)
            return
        # The rest of a body whose request was answered early.
        self.conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        dropped = self._dropped.get(event.stream_id)
        if dropped is not None:
            self._dropped[event.stream_id] = dropped + len(event.data)
            if dropped + len(event.data) > self.site.limits.linger_bytes:
                # Enough: ask the client to stop (RFC 9113, section 8.1).
                del self._dropped[event.stream_id]
                self.conn.reset_stream(event.stream_id, ErrorCodes.NO_ERROR)

    def _requestEnded(self, event: StreamEnded) -> None:
        if event.stream_id in self.streams:
            super()._requestEnded(event)
        else:
            self._dropped.pop(event.stream_id, None)

    def _requestAborted(self, event: StreamReset) -> None:
        if event.stream_id in self.streams:
            super()._requestAborted(event)
        else:
            self._dropped.pop(event.stream_id, None)

    def _handlePriorityUpdate(self, event: object) -> None:
        """Nothing: RFC 9113, section 5.3.2, lets a server pass them over.

        The tree of priorities takes streams that nobody has opened, remembers them for as
        long as the connection lasts, and fails past its bound and on loops.  Without any, all
        streams of a connection take turns.
        """

    def _requestDone(self, streamID: int) -> None:
        self._taken(streamID)
        super()._requestDone(streamID)
        stream = self.conn.streams.get(streamID)
        if stream is not None and stream.state_machine.state is StreamState.HALF_CLOSED_LOCAL:
            # Not reset at once: a client in the middle of a body, such as curl,
            # may take a reset for the loss of the answer that it already has.
            self._dropped[streamID] = 0

    def writeDataToStream(self, streamID: int, data: bytes) -> None:
        super().writeDataToStream(streamID, data)
        if streamID not in self._unread and self._queued(streamID) > WATCHED_FROM:
            self._unread[streamID] = self.site.unfinished.answers.watch(
                lambda: self._queued(streamID), lambda: self._unread_for_long(streamID)
            )

    def _queued(self, stream_id: int) -> int:
        queue = self._outboundStreamQueues.get(stream_id, ())
        if isinstance(queue, CountedQueue):
            return int(queue.size)
        return sum(len(item) for item in queue if item is not _END_STREAM_SENTINEL)

    def _unread_for_long(self, stream_id: int) -> None:
        self._taken(stream_id)
        stream = self.streams.get(stream_id)
        if stream is None:
            return
        # Whoever writes to it is told first, and may end it.
        stream.connectionLost(Failure(ConnectionAborted()))
        if stream_id in self.streams:
            stream.abortConnection()

    def pauseProducing(self) -> None:
        super().pauseProducing()
        self._taken(_WHOLE)
        self._unread[_WHOLE] = self.site.unfinished.answers.watch(
            lambda: unsent_bytes(self.transport), self.transport.abortConnection
        )

    def resumeProducing(self) -> None:
        self._taken(_WHOLE)
        super().resumeProducing()

    def _taken(self, stream_id: int) -> None:
        waiting = self._unread.pop(stream_id, None)
        if waiting is not None:
            self.site.unfinished.answers.forget(waiting)

    # the sending loop

    def _sendPrioritisedData(self, *args: object) -> None:
        before = self.conn.outbound_flow_control_window
        try:
            super()._sendPrioritisedData(*args)
        except Exception:
            # The loop has ended with it, and nothing would be sent any more.
            self._fail()
            return
        size = before - self.conn.outbound_flow_control_window
        if size:
            self._intake.sent(size)
        # A stream with data and no window stays in the loop's choice, and the loop
        # runs again and again to send nothing: one slow reader takes the processor.
        for stream_id, queue in self._outboundStreamQueues.items():
            if queue and queue[0] is not _END_STREAM_SENTINEL and not self._window(stream_id):
                self.priority.block(stream_id)

    def _wake(self) -> None:
        """Go on with streams that have data and, since the peer said so, window."""
        if not self._stillProducing:
            return
        ready = [
            stream_id
            for stream_id, queue in self._outboundStreamQueues.items()
            if queue and self._window(stream_id)
        ]
        for stream_id in ready:
            self.priority.unblock(stream_id)
        if ready and self._sendingDeferred is not None:
            waiting, self._sendingDeferred = self._sendingDeferred, None
            waiting.callback(None)

    def _window(self, stream_id: int) -> bool:
        return bool(self.conn.local_flow_control_window(stream_id) > 0)

    # what has to be finished soon, and the idle timer

    def _watch(self) -> None:
        """Give the client its time for what it has begun, from when it began."""
        if self._intake.unfinished and not self._given_up:
            if self._deadline is not None and self._intake.begun == self._watched:
                return
            self._finished()
            self._watched = self._intake.begun
            self._deadline = self.callLater(self.site.limits.head_timeout, self._overdue)
        else:
            self._finished()

    def _count_head(self) -> None:
        head = 0 if self._given_up else self._intake.head
        if head > self.site.limits.max_head:
            if self._large_head is None:
                self._large_head = self.site.unfinished.begin(self._head_cut_off)
            self._large_head.holds(head)
        else:
            self._forget_large_head()

    def _head_cut_off(self, why: Cut) -> None:
        self._large_head = None
        self._give_up(ErrorCodes.ENHANCE_YOUR_CALM)

    def _forget_large_head(self) -> None:
        head, self._large_head = self._large_head, None
        if head is not None:
            head.end()

    def _finished(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()

    def _overdue(self) -> None:
        self._deadline = None
        self._give_up(ErrorCodes.PROTOCOL_ERROR)

    def resetTimeout(self) -> None:
        # A ping is no sign that anything will be asked.
        if self._intake.progress:
            super().resetTimeout()

    def timeoutConnection(self) -> None:
        requests = [stream._request for stream in self.streams.values()]
        if requests and all(one.body_complete or one.quiet for one in requests):
            # Nothing is expected of the client, and an answer may be long in coming.
            self.setTimeout(self.timeOut)
            return
        self._give_up(ErrorCodes.PROTOCOL_ERROR if requests else ErrorCodes.NO_ERROR)

    def _fail(self) -> None:
        """A defect, of the libraries below or of ours, costs who found it the connection."""
        _log.failure("An HTTP/2 connection failed; closing it")
        self._give_up(ErrorCodes.INTERNAL_ERROR)

    def _give_up(self, code: ErrorCodes) -> None:
        self.conn.close_connection(error_code=code)
        self._terminate(Failure(ConnectionAborted()))

    def _terminate(self, reason: Failure) -> None:
        """Let go of the client; what there is to tell it waits to be sent."""
        self._given_up = True
        self.transport.write(self.conn.data_to_send())
        self.setTimeout(None)
        if self._abortingCall is None:
            self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)
        # Whoever is at work on a request of it is told now: nothing of theirs can be sent.
        self.connectionLost(reason, _cancelTimeouts=False)
        # TLS waits for its producer to go before it closes, and that is us.
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def forceAbortClient(self) -> None:
        self._abortingCall = None
        self.transport.abortConnection()
