"""Capsules (RFC 9297 section 3.2) and datagrams of one session.

Capsules come on the CONNECT stream; reading them is pure: bytes in, capsules out.  Unknown
capsules are skipped as they arrive, whatever length they claim; browsers send one at once to
see that it works.

Datagrams come whole or not at all, in any order, and are never waited for.  Both directions
are bounded by dropping: what came in by dropping the oldest, because newer is better; what
goes out by dropping the newest, which the caller is told, and can then slow down.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from aioquic.buffer import Buffer, BufferReadError, encode_uint_var
from attrs import frozen

from takotwist.streams.http3.link import Link
from takotwist.streams.webtransport.errors import DatagramTooLarge, SessionClosed
from takotwist.streams.webtransport.receiving import Arrivals

CLOSE_SESSION = 0x2843
DRAIN_SESSION = 0x78AE

#: The code, then at most 1024 bytes of reason.
MAX_CLOSE = 4 + 1024


class CapsuleError(Exception):
    """The peer sent a malformed capsule."""


@frozen
class CloseSession:
    """The peer closed the session."""

    code: int
    reason: str


@frozen
class DrainSession:
    """The peer asks that the session come to its end."""


Capsule = CloseSession | DrainSession


def encode_close(code: int, reason: str) -> bytes:
    """CLOSE_WEBTRANSPORT_SESSION; a longer reason is cut at a character's end."""
    text = reason.encode()[:1024].decode(errors="ignore").encode()
    return _encode(CLOSE_SESSION, code.to_bytes(4, "big") + text)


def encode_drain() -> bytes:
    """DRAIN_WEBTRANSPORT_SESSION."""
    return _encode(DRAIN_SESSION, b"")


def _encode(kind: int, value: bytes) -> bytes:
    return encode_uint_var(kind) + encode_uint_var(len(value)) + value


class CapsuleParser:
    """Reads the capsules of one stream; remembers less than 2 KiB."""

    def __init__(self) -> None:
        self._buffer = b""
        self._skip = 0

    def feed(self, data: bytes) -> list[Capsule]:
        """The capsules that `data` completes.

        :raises CapsuleError: the stream is malformed.
        """
        found: list[Capsule] = []
        self._buffer += data
        while self._buffer:
            if self._skip:
                skipped = min(self._skip, len(self._buffer))
                self._buffer = self._buffer[skipped:]
                self._skip -= skipped
                continue
            buffer = Buffer(data=self._buffer)
            try:
                kind, length = buffer.pull_uint_var(), buffer.pull_uint_var()
            except BufferReadError:
                break
            start = buffer.tell()
            if kind not in (CLOSE_SESSION, DRAIN_SESSION):
                self._buffer, self._skip = self._buffer[start:], length
                continue
            if length > MAX_CLOSE:
                raise CapsuleError("capsule too long")
            if len(self._buffer) < start + length:
                break
            value = self._buffer[start : start + length]
            self._buffer = self._buffer[start + length :]
            found.append(_close(value) if kind == CLOSE_SESSION else DrainSession())
        return found

    def finish(self) -> None:
        """The stream ended here.

        :raises CapsuleError: within a capsule.
        """
        if self._buffer or self._skip:
            raise CapsuleError("the stream ended within a capsule")


def _close(value: bytes) -> CloseSession:
    if len(value) < 4:
        raise CapsuleError("close capsule without a code")
    try:
        reason = value[4:].decode()
    except UnicodeDecodeError as error:
        raise CapsuleError("close reason is not UTF-8") from error
    return CloseSession(int.from_bytes(value[:4], "big"), reason)


# Datagrams


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
