"""The bytes of one response on their way out: order, back-pressure, producers.

Counts what QUIC has not had acknowledged, which is all of it that is in our
memory, because aioquic itself takes whatever it is given.  A writer without a
producer is bounded by nobody, as everywhere in twisted.web.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IPullProducer, IPushProducer

from takotwist.streams.http3.link import Link
from takotwist.streams.unread import WATCHED_FROM, Unread, Waiting


class ResponseBody:
    """The body of the response on one request stream; provides `Watcher`.

    :param high_water: unacknowledged bytes past which the writer is paused.
    :param low_water: unacknowledged bytes at which it goes on.
    :param answers: watches those that are not read, where there is something that does.
    :param cut: drops the reader.
    """

    def __init__(
        self,
        link: Link,
        stream_id: int,
        *,
        high_water: int,
        low_water: int,
        answers: Unread | None = None,
        cut: Callable[[], object] = lambda: None,
    ) -> None:
        self._answers, self._cut = answers, cut
        self._unread: Waiting | None = None
        self._link, self._stream_id = link, stream_id
        self._high_water, self._low_water = high_water, low_water
        self._on_pause: Callable[[], None] | None = None
        self._on_resume: Callable[[], None] | None = None
        self._pull_call: IDelayedCall | None = None
        self._producer: IPushProducer | IPullProducer | None = None
        self.paused = False

    @property
    def buffered(self) -> int:
        """Bytes written and not acknowledged."""
        return self._link.unacknowledged(self._stream_id)

    def write(self, data: bytes) -> None:
        """Send `data`; pauses the writer where too much waits."""
        self._link.send_data(self._stream_id, data, ended=False)
        self._watch_unread()
        if self._on_pause is not None and not self.paused and self.buffered > self._high_water:
            self.paused = True
            self._link.watch(self._stream_id, self)
            self._on_pause()

    def _watch_unread(self) -> None:
        answers = self._answers
        if answers is None or self.buffered < WATCHED_FROM:
            return
        if self._unread is None or self._unread not in answers:
            self._unread = answers.watch(lambda: self.buffered, self._cut)

    def watch(self, on_pause: Callable[[], None], on_resume: Callable[[], None]) -> None:
        """Tell a writer of its reader's pace, until `release`."""
        self._on_pause, self._on_resume = on_pause, on_resume

    def release(self) -> None:
        """The writer is done."""
        self._on_pause = self._on_resume = self._producer = None
        self.paused = False
        self._link.unwatch(self._stream_id)
        if self._pull_call is not None and self._pull_call.active():
            self._pull_call.cancel()
        self._pull_call = None

    def drained(self) -> None:
        """Told by the connection while paused."""
        if self.paused and self.buffered <= self._low_water:
            self.paused = False
            self._link.unwatch(self._stream_id)
            if self._on_resume is not None:
                self._on_resume()

    def register(self, producer: IPushProducer | IPullProducer, streaming: bool) -> None:
        """Drive a Twisted producer at the reader's pace."""
        self._producer = producer
        if IPushProducer.providedBy(producer) and streaming:
            self.watch(producer.pauseProducing, producer.resumeProducing)
        else:
            self.watch(lambda: None, self._pull_soon)
            self._pull_soon()

    def stop_producer(self) -> None:
        """The peer is gone."""
        producer = self._producer
        self.release()
        if producer is not None:
            producer.stopProducing()

    # A pull producer writes once for each call.  One a turn of the reactor, so
    # that a large file does not keep the others waiting.

    def _pull_soon(self) -> None:
        if self._pull_call is None:
            self._pull_call = self._link.clock.callLater(0, self._pull)

    def _pull(self) -> None:
        self._pull_call = None
        if self._producer is not None and not self.paused:
            self._producer.resumeProducing()
            if self._producer is not None and not self.paused:
                self._pull_soon()
