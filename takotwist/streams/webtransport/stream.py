"""One WebTransport stream: a receiving side, a sending side, or both, and its end.

It is what the connection knows (`StreamReceiver`) and what a handler holds.
When both directions are over on the wire the connection forgets it; until then
it stays, so that bytes of a stream we stopped are never taken for HTTP/3.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from twisted.internet.interfaces import IAddress

from takotwist.streams.http3.link import Link
from takotwist.streams.webtransport.config import WebTransportConfig
from takotwist.streams.webtransport.errors import SESSION_GONE, SessionClosed, StreamFinished
from takotwist.streams.webtransport.receiving import ByteReceiver, ReceiveSide
from takotwist.streams.webtransport.sending import SendSide


class WebTransportStream:
    """A stream of a session.

    :param on_over: called once, when both directions are over.
    """

    def __init__(
        self,
        link: Link,
        stream_id: int,
        config: WebTransportConfig,
        *,
        readable: bool,
        writable: bool,
        on_over: Callable[[WebTransportStream], None],
    ) -> None:
        self._link, self.id, self._on_over = link, stream_id, on_over
        self._receiving = ReceiveSide(link, stream_id, self.leave_if_over) if readable else None
        self._sending = SendSide(link, stream_id, config, self.leave_if_over) if writable else None
        self._left = False

    @property
    def readable(self) -> bool:
        """True where the stream has a receiving direction."""
        return self._receiving is not None

    @property
    def writable(self) -> bool:
        """True where the stream has a sending direction."""
        return self._sending is not None

    @property
    def peer(self) -> IAddress:
        """The client's address."""
        return self._link.peer

    @property
    def host(self) -> IAddress:
        """Ours."""
        return self._link.host

    # Reading

    async def read(self, limit: int = 65536) -> bytes:
        """Up to `limit` bytes, at least one; ``b""`` at the end.

        :raises StreamReset: the peer gave up.
        :raises SessionClosed: the session is over.
        """
        return await self._reader().read(limit)

    async def read_all(self, limit: int) -> bytes:
        """All bytes up to the end.

        :raises ValueError: they are more than `limit`.
        """
        return await self._reader().read_all(limit)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._reader().chunks()

    def stop(self, code: int = 0) -> None:
        """Ask the peer to send no more; `code` is the application's, 0 to 2**32 - 1."""
        self._reader().stop(code)

    def receive_by(self, receiver: ByteReceiver) -> None:
        """Call `receiver` with what comes, instead of being asked by `read`."""
        self._reader().receive_by(receiver)

    def pause(self) -> None:
        """Call the receiver no more; the peer stops when its window is full."""
        self._reader().pause()

    def resume(self) -> None:
        """Call the receiver again."""
        self._reader().resume()

    # Writing

    async def send(self, data: bytes) -> None:
        """Write `data` as fast as the peer takes it.

        :raises StreamStopped: the peer wants no more.
        :raises SessionClosed: the session is over.
        """
        await self._writer().send(data)

    def write(self, data: bytes) -> None:
        """Write `data` now, for callers that heed `notify`.

        :raises BufferFull: more waits already than may; nothing was written.
        """
        self._writer().write(data)

    def notify(self, on_pause: Callable[[], None], on_resume: Callable[[], None]) -> None:
        """Call these when the peer reads slower than is written, and when it has caught up."""
        self._writer().notify(on_pause, on_resume)

    @property
    def buffered(self) -> int:
        """Bytes written and not acknowledged."""
        return self._writer().buffered

    @property
    def paused(self) -> bool:
        """True while a low-level writer should wait."""
        return self._writer().paused

    def finish(self) -> None:
        """End the sending direction after what was written.  Does nothing when it is over."""
        if not self._writer().over:
            self._writer().finish()

    async def delivered(self) -> None:
        """Wait until the peer has acknowledged everything up to `finish`."""
        await self._writer().delivered()

    def reset(self, code: int = 0) -> None:
        """Give up sending; `code` is the application's, 0 to 2**32 - 1."""
        self._writer().reset(code)
        self.leave_if_over()

    @property
    def finishing(self) -> bool:
        """True while `finish` was said and the peer has not acknowledged all yet."""
        return self._sending is not None and self._sending.over and not self._sending.settled

    # From the connection

    def data_received(self, data: bytes, ended: bool) -> None:
        """The next bytes of the peer."""
        if self._receiving is not None:
            self._receiving.data_received(data, ended)
        self.leave_if_over()

    def reset_received(self, code: int) -> None:
        """The peer gave up sending."""
        if self._receiving is not None:
            self._receiving.reset_received(code)
        self.leave_if_over()

    def stop_received(self, code: int) -> None:
        """The peer reads no more."""
        if self._sending is not None:
            self._sending.stop_received(code)
        self.leave_if_over()

    def connection_lost(self, reason: str) -> None:
        """The connection is over."""
        self._end(SessionClosed(0, reason, clean=False))

    def session_closed(self, error: SessionClosed) -> None:
        """The session is over, and the connection is not."""
        self.reject(SESSION_GONE, error)

    def reject(self, code: int, error: SessionClosed) -> None:
        """End both directions with an HTTP/3 error code."""
        if self._sending is not None and not self._sending.settled:
            self._link.reset(self.id, code)
        if self._receiving is not None and not self._receiving.over:
            self._link.stop(self.id, code)
        self._end(error)

    def leave_if_over(self) -> None:
        """Leave the connection once nothing can come on the wire, and all that came was read."""
        received = self._receiving is None or self._receiving.settled
        sent = self._sending is None or self._sending.settled
        if received and sent and not self._left:
            self._left = True
            self._link.forget(self.id)
            self._on_over(self)

    def _end(self, error: SessionClosed) -> None:
        if self._receiving is not None:
            self._receiving.fail(error)
        if self._sending is not None:
            self._sending.fail(error)
        self.leave_if_over()

    def _reader(self) -> ReceiveSide:
        if self._receiving is None:
            raise StreamFinished("this stream goes the other way only")
        return self._receiving

    def _writer(self) -> SendSide:
        if self._sending is None:
            raise StreamFinished("this stream goes the other way only")
        return self._sending
