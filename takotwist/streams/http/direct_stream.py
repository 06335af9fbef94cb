"""A stream that answers a `DirectRequest`: a response pipe, and all that stays of the request.

Between two blocks a connection should hold its socket and who writes to it, and
nothing of how it began.  Rule: everything is framed as HTTP/1.1 chunks
(RFC 9112, section 7.1), so the connection can go on when the stream has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from takotwist.streams.direct_send import direct_write
from takotwist.streams.unread import Unread, Waiting
from takotwist.streams.unsent import unsent_bytes

#: What ends a response (RFC 9112, section 7.1).
LAST_CHUNK = b"0\r\n\r\n"


@implementer(IPushProducer)
class DirectStream:
    """One open response; see `streams.response_pipe.ResponsePipe`.

    :param on_gone: called when the client goes before the end.
    """

    __slots__ = (
        "_connection",
        "_log",
        "_on_gone",
        "_on_pause",
        "_on_resume",
        "_unread",
        "_waiting",
        "transport",
        "write",
    )

    def __init__(
        self,
        connection: Any,
        waiting: list[Deferred[None]],
        log: Callable[[], object] | None,
        on_pause: Callable[[], object],
        on_resume: Callable[[], object],
        on_gone: Callable[[object], object],
    ) -> None:
        self._connection = connection
        self._waiting = waiting
        self._log = log
        self._on_pause = on_pause
        self._on_resume = on_resume
        self._on_gone = on_gone
        self._unread: Waiting | None = None
        self.transport = connection.transport
        self.write = direct_write(self.transport)

    def start(self) -> None:
        """Begin to watch for pressure."""
        self.transport.registerProducer(self, True)

    def release(self) -> None:
        """No more will be written."""
        self._taken()
        self.transport.unregisterProducer()

    def finish(self) -> None:
        """End the response, and let the connection go on."""
        self.write(LAST_CHUNK)
        if self._log is not None:
            self._log()
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)
        self._connection.answered()

    def abort(self) -> None:
        """Drop the client."""
        self.transport.abortConnection()

    def buffered(self) -> int:
        """Bytes known to be unsent."""
        return unsent_bytes(self.transport)

    def lost(self, reason: Failure) -> None:
        """The client has gone."""
        self._taken()
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.errback(reason)
        self._on_gone(None)

    def _answers(self) -> Unread:
        answers: Unread = self._connection.site.unfinished.answers
        return answers

    def _taken(self) -> None:
        unread, self._unread = self._unread, None
        if unread is not None:
            self._answers().forget(unread)

    def pauseProducing(self) -> None:
        """See `IPushProducer`."""
        if self._unread is None:
            self._unread = self._answers().watch(self.buffered, self.abort)
        self._on_pause()

    def resumeProducing(self) -> None:
        """See `IPushProducer`."""
        self._taken()
        self._on_resume()

    def stopProducing(self) -> None:
        """The connection is going; `lost` follows."""
