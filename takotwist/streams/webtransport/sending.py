"""The sending direction of one stream, with back-pressure that is true.

aioquic takes all it is given; what counts here is what has not been
acknowledged, because that is what is in our memory.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, DeferredLock

from takotwist.streams.http3.link import Link
from takotwist.streams.webtransport.config import WebTransportConfig
from takotwist.streams.webtransport.errors import (
    BufferFull,
    StreamFinished,
    StreamStopped,
    from_http3,
    to_http3,
)

#: Bytes given to QUIC at once.
SLICE = 16 * 1024


def _nothing() -> None:
    pass


class SendSide:
    """Writes one stream, by `send` or by `write`; provides `Watcher`.

    :param on_settled: called once a finished stream is acknowledged.
    """

    def __init__(
        self,
        link: Link,
        stream_id: int,
        config: WebTransportConfig,
        on_settled: Callable[[], None],
    ) -> None:
        self._link, self._stream_id, self._config = link, stream_id, config
        self._on_settled = on_settled
        self._error: Exception | None = None
        self._turn = DeferredLock()
        self._waiting: list[Deferred[None]] = []
        self._on_pause: Callable[[], None] = _nothing
        self._on_resume: Callable[[], None] = _nothing
        #: Whether too much waits; a low-level writer stops until it is told.
        self.paused = False
        #: Whether nothing more can be written.
        self.over = False
        self._finished = False

    @property
    def buffered(self) -> int:
        """Bytes written and not acknowledged by the peer."""
        return self._link.unacknowledged(self._stream_id)

    @property
    def settled(self) -> bool:
        """True once this direction is over on the wire as well."""
        return self.over and not (self._finished and not self._link.delivered(self._stream_id))

    # For the handler

    async def send(self, data: bytes) -> None:
        """Write `data` as fast as the peer takes it; calls are served in turn.

        :raises StreamStopped: the peer wants no more.
        :raises SessionClosed: the session is over.
        """
        await self._turn.acquire()
        try:
            for start in range(0, len(data), SLICE):
                await self._until(lambda: self.buffered < self._config.high_water)
                self.write(data[start : start + SLICE])
        finally:
            self._turn.release()

    def write(self, data: bytes) -> None:
        """Write `data` now, whether or not the peer keeps up: for callers that heed `paused`.

        :raises BufferFull: more waits already than may; nothing was written.
        """
        self._check()
        buffered = self.buffered
        if buffered + len(data) > self._config.max_buffered:
            raise BufferFull(
                f"{buffered} bytes of this stream wait already, of {self._config.max_buffered}"
            )
        self._link.write(self._stream_id, data, ended=False)
        if not self.paused and buffered + len(data) > self._config.high_water:
            self.paused = True
            self._link.watch(self._stream_id, self)
            self._on_pause()

    def notify(self, on_pause: Callable[[], None], on_resume: Callable[[], None]) -> None:
        """Tell a low-level writer of its reader's pace."""
        self._on_pause, self._on_resume = on_pause, on_resume

    def finish(self) -> None:
        """End the stream after what was written."""
        self._check()
        self._link.write(self._stream_id, b"", ended=True)
        self.over = self._finished = True
        self._error = StreamFinished("this side finished the stream")
        self._link.watch(self._stream_id, self)

    async def delivered(self) -> None:
        """Wait until the peer has acknowledged everything; `finish` first.

        :raises StreamStopped: it wanted no more before that.
        """
        await self._until(lambda: self._link.delivered(self._stream_id), after_finish=True)

    def reset(self, code: int = 0) -> None:
        """Give up; what has not left is dropped, and the peer gets an application error `code`."""
        if not self.settled:
            self._link.reset(self._stream_id, to_http3(code))
            self.fail(StreamFinished("this side reset the stream"))

    # From the wire

    def stop_received(self, code: int) -> None:
        """The peer reads no more; QUIC has reset the stream already."""
        self.fail(StreamStopped(from_http3(code)))

    def fail(self, error: Exception) -> None:
        """Writing is over, for `error`."""
        if self.settled:
            return
        self.over, self._finished, self._error = True, False, error
        self._link.unwatch(self._stream_id)
        self._wake()

    def drained(self) -> None:
        """Told by the connection while somebody waits."""
        if self._finished and self.settled:
            # Before those who wait for it: they may count on the stream's place.
            self._link.unwatch(self._stream_id)
            self._on_settled()
        self._wake()
        if self.paused and self.buffered <= self._config.low_water:
            self.paused = False
            self._on_resume()
        if not (self.paused or self._waiting or self._finished):
            self._link.unwatch(self._stream_id)

    # Inside

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    async def _until(self, reached: Callable[[], bool], *, after_finish: bool = False) -> None:
        while True:
            if not (after_finish and self._finished):
                self._check()
            if reached():
                return
            turn: Deferred[None] = Deferred()
            self._waiting.append(turn)
            self._link.watch(self._stream_id, self)
            try:
                await turn
            finally:
                if turn in self._waiting:
                    self._waiting.remove(turn)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            if not turn.called:
                turn.callback(None)
