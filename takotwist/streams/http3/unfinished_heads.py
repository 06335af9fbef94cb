"""Unfinished heads and gaps of one HTTP/3 connection, counted against the shared bound.

A head that has begun, and data that waits for what is missing before it, are kept by aioquic
before they are anybody's body: bounded for each stream and each connection, and for no time.
"""

from __future__ import annotations

from collections.abc import Callable

from takotwist.streams.http3.quic import BoundedQuic
from takotwist.streams.http3.streams import Http3Framing
from takotwist.streams.unfinished import Cut, Incoming, Unfinished


class UnfinishedHeads:
    """Of one connection.

    :param cut_off: called where it is not waited for any longer.
    """

    def __init__(
        self, quic: BoundedQuic, unfinished: Unfinished, cut_off: Callable[[Cut], object]
    ) -> None:
        self._quic, self._unfinished, self._on_cut = quic, unfinished, cut_off
        self._heads: dict[int, int] = {}
        self._delivered = 0
        self._incoming: Incoming | None = None

    def delivered(self, stream_id: int, count: int, framing: Http3Framing | None) -> None:
        """Some of a stream has come, in order, and was looked at."""
        self._delivered += count
        if stream_id & 3 == 0 and framing is not None:
            head = framing.unfinished_head(stream_id)
            if head is None:
                self._heads.pop(stream_id, None)
            else:
                self._heads[stream_id] = head

    def reset(self, stream_id: int) -> None:
        """The client gave up a stream."""
        self._heads.pop(stream_id, None)
        self._delivered += self._quic.drop_undelivered(stream_id)

    def count(self) -> None:
        """A datagram was taken."""
        behind = self._quic.received - self._delivered
        if not behind and not self._heads:
            self.end()
            return
        if self._incoming is None:
            self._incoming = self._unfinished.begin(self._cut_off)
        self._incoming.holds(behind + sum(self._heads.values()))

    def end(self) -> None:
        """Nothing is unfinished, or the connection is over."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.end()

    def _cut_off(self, why: Cut) -> None:
        self._incoming = None
        self._on_cut(why)
