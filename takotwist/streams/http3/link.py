"""Interfaces between a connection and its streams: calls down, events up.

The request bridge and WebTransport know a connection only by `Link`; a
connection knows them only by `StreamReceiver`, `Watcher` and `Sessions`.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IAddress, IReactorTime

Header = tuple[bytes, bytes]


class StreamReceiver(Protocol):
    """One stream's end in our program."""

    def data_received(self, data: bytes, ended: bool) -> None:
        """The next bytes, in order; `ended` once, with the last of them."""

    def reset_received(self, code: int) -> None:
        """The peer gave up sending (RESET_STREAM); nothing more is received."""

    def stop_received(self, code: int) -> None:
        """The peer reads no more (STOP_SENDING); nothing more can be sent."""

    def connection_lost(self, reason: str) -> None:
        """The connection is over; said once, and nothing after it."""


class Watcher(Protocol):
    """Somebody who waits for written bytes to leave."""

    def drained(self) -> None:
        """Some may have been acknowledged: ask `Link.unacknowledged`."""


class Link(Protocol):
    """A connection, as its streams see it.

    Sending on a stream that the peer stopped, or on a connection that is over,
    does nothing: the stream is told by `stop_received` or `connection_lost`.
    """

    clock: IReactorTime
    peer: IAddress
    host: IAddress

    def serve(self, stream_id: int, receiver: StreamReceiver) -> None:
        """From now on, `receiver` gets what comes on this request."""

    def send_headers(self, stream_id: int, headers: list[Header], *, ended: bool) -> None:
        """A HEADERS frame."""

    def send_data(self, stream_id: int, data: bytes, *, ended: bool) -> None:
        """A DATA frame."""

    def write(self, stream_id: int, data: bytes, *, ended: bool) -> None:
        """Bytes of a WebTransport stream, unframed."""

    def reset(self, stream_id: int, code: int) -> None:
        """Give up sending."""

    def stop(self, stream_id: int, code: int) -> None:
        """Ask the peer to give up sending."""

    def open_stream(self, session_id: int, *, one_way: bool) -> int:
        """Open a WebTransport stream of a session, to be attached; returns its id."""

    def attach(self, stream_id: int, receiver: StreamReceiver) -> None:
        """From now on, `receiver` gets what comes on this WebTransport stream."""

    def forget(self, stream_id: int) -> None:
        """The stream, request or WebTransport, has nothing to come."""

    def hold(self, stream_id: int, count: int) -> None:
        """`count` received bytes wait to be read: the peer gets no credit for them."""

    def release(self, stream_id: int, count: int) -> None:
        """They were read, or thrown away."""

    def unacknowledged(self, stream_id: int) -> int:
        """Written bytes still in our memory."""

    def delivered(self, stream_id: int) -> bool:
        """True once everything up to the end is acknowledged."""

    def watch(self, stream_id: int, watcher: Watcher) -> None:
        """Tell `watcher` whenever bytes may have left, until `unwatch`."""

    def unwatch(self, stream_id: int) -> None:
        """No more."""

    def send_datagram(self, session_id: int, data: bytes) -> bool:
        """Queue one datagram; `False` where the queue is full and it was dropped."""

    def max_datagram(self) -> int:
        """The largest datagram that fits one packet, in bytes; 0 where the peer takes none."""

    def is_request(self, stream_id: int) -> bool:
        """True while this id is a request, or session, under way."""

    def abort(self, code: int, reason: str) -> None:
        """Close the whole connection, for a breach of the protocol."""


class Sessions(Protocol):
    """WebTransport, as a connection sees it."""

    @property
    def busy(self) -> bool:
        """True while any session is open, or its handler still at work."""

    def connect(self, stream_id: int, headers: list[Header]) -> None:
        """An extended CONNECT for WebTransport arrived: refuse it, or `Link.serve` it."""

    def stream_arrived(self, session_id: int, stream_id: int, data: bytes, ended: bool) -> None:
        """The peer opened a stream."""

    def datagram_received(self, session_id: int, data: bytes) -> None:
        """A datagram of a session."""

    def drain(self) -> None:
        """Ask every session to come to its end."""

    def stop(self) -> None:
        """Close every session now."""

    def connection_lost(self, reason: str) -> None:
        """The connection is over."""


class SessionMaker(Protocol):
    """WebTransport, as a server sees it."""

    def __call__(self, link: Link) -> Sessions:
        """The sessions of a new connection."""

    def stop(self) -> None:
        """The server is gone: no handler outlasts it."""
