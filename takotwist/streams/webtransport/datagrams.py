"""The datagrams of one session: whole or not at all, in any order, never waited for.

Both directions are bounded by dropping: what came in by dropping the oldest,
because newer is better; what goes out by dropping the newest, which the caller
is told, and can then slow down.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from takotwist.streams.http3.link import Link
from takotwist.streams.webtransport.arrivals import Arrivals
from takotwist.streams.webtransport.errors import DatagramTooLarge, SessionClosed


class Datagrams:
    """An asynchronous iterator over what comes, and a way out.

    :ivar dropped: how many came and were dropped because the handler was too slow.
    """

    def __init__(self, link: Link, session_id: int, limit: int) -> None:
        self._link, self._session_id = link, session_id
        self._incoming: Arrivals[bytes] = Arrivals(limit)
        self._closed: SessionClosed | None = None
        self.dropped = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._incoming

    async def receive(self) -> bytes:
        """The next datagram.

        :raises SessionClosed: the session is over.
        """
        return await self._incoming.next()

    @property
    def max_size(self) -> int:
        """The largest datagram that can be sent, in bytes; 0 where the peer takes none."""
        return self._link.max_datagram()

    def send(self, data: bytes) -> bool:
        """Send a datagram.

        :return: `False` where too many wait already, and it was dropped.
        :raises DatagramTooLarge: no packet can carry it.
        :raises SessionClosed: the session is over.
        """
        if self._closed is not None:
            raise self._closed
        if len(data) > self.max_size:
            raise DatagramTooLarge(len(data), self.max_size)
        return self._link.send_datagram(self._session_id, data)

    def received(self, data: bytes) -> None:
        """One came."""
        if self._closed is not None:
            return
        if self._incoming.full:
            self._incoming.drop_oldest()
            self.dropped += 1
        self._incoming.put(data)

    def close(self, error: SessionClosed) -> None:
        """The session is over."""
        self._closed = error
        self._incoming.end(error)
