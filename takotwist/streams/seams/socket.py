"""Direct writes to a socket, and the count of bytes that a transport still holds.

A write through Twisted waits for the reactor to say that the socket takes data,
which costs twice as much as the send itself.  Rule: here nothing is decided about
a connection; what the kernel does not take at once, and every error, is left to
the transport, and bytes never overtake what it holds.

Twisted tells a producer when to pause and when to go on, but not how much is
waiting (`unsent_bytes`).  What is not known of a transport counts as nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet import tcp
from twisted.internet.interfaces import IReactorFDSet
from twisted.protocols.tls import TLSMemoryBIOProtocol

#: Most plain bytes in one TLS record (RFC 8446, section 5.1).
RECORD = 2**14

#: More than TLS adds to a record, whatever the cipher (RFC 5246, section 6.2.3).
RECORD_OVERHEAD = 2048

#: What pyOpenSSL is made of.  Its own methods double what a write costs in OpenSSL; where
#: these names are others they are used.
_lib: Any = getattr(SSL, "_lib", None)
_ffi: Any = getattr(SSL, "_ffi", None)

#: One record, on its way from OpenSSL to a socket.  For all connections: no code of others
#: runs meanwhile, as all of this is in the reactor's thread.
_record: object = None if _ffi is None else _ffi.new("char[]", RECORD + RECORD_OVERHEAD)
_bytes_of_record: Any = None if _ffi is None else _ffi.buffer(_record)


def direct_write(transport: Any) -> Callable[[bytes], None]:
    """The cheapest way to write to `transport`, in place of its ``write``.

    :param transport: of any kind.  One that is no TCP socket of a reactor, or TLS
        on one, or is not connected any more, is written to by its own ``write``.
    """
    if type(transport) is tcp.Server and not transport.TLS and transport.connected:
        return _Plain(transport).write
    if (
        isinstance(transport, TLSMemoryBIOProtocol)
        and hasattr(transport, "_aggregator")
        and type(transport.transport) is tcp.Server
        and transport.transport.connected
    ):
        return _Tls(transport).write
    write: Callable[[bytes], None] = transport.write
    return write


def is_direct(write: Callable[[bytes], None]) -> bool:
    """True where `write` is of `direct_write` and goes to a socket; then it never raises."""
    return isinstance(getattr(write, "__self__", None), _Plain | _Tls)


def straight_send(write: Callable[[bytes], None]) -> Callable[[bytes], int] | None:
    """The socket's own ``send`` behind `write`, which is of `direct_write`.

    It may be used only while `blocked_sends` of the same reactor has it not.

    :return: `None` where there is none, or where its reactor would not say.
    """
    plain = getattr(write, "__self__", None)
    return plain.straight() if isinstance(plain, _Plain) else None


def blocked_sends(reactor: object) -> Callable[[], list[Callable[[bytes], int]]]:
    """A function that lists the blocked sockets, those with bytes waiting, by their ``send``.

    A transport that holds anything, whoever wrote it, waits to write; so the reactor
    knows, and nothing has to be kept up to date here.
    """
    if not IReactorFDSet.providedBy(reactor):
        return list
    writers = reactor.getWriters

    def sends() -> list[Callable[[bytes], int]]:
        return [one.socket.send for one in writers() if type(one) is tcp.Server]

    return sends


class _Plain:
    """Writes to a TCP transport.

    A socket that was closed or shut down raises like any other error, so whether
    the transport is still connected is not asked for each write.
    """

    __slots__ = ("_send", "_transport")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._send = transport.socket.send

    def straight(self) -> Callable[[bytes], int] | None:
        return self._send if IReactorFDSet.providedBy(self._transport.reactor) else None

    def write(self, data: bytes) -> None:
        transport = self._transport
        if transport.dataBuffer or transport._tempDataBuffer:
            transport.write(data)
            return
        try:
            sent = self._send(data)
        except OSError:
            transport.write(data)
            return
        if sent != len(data):
            transport.write(data[sent:])


class _Tls:
    """Writes to TLS on a TCP transport.

    Twisted gathers small writes until the reactor's next turn, with a timer for
    each connection; ours are joined per turn before they come here.
    """

    __slots__ = ("_below", "_encrypted", "_tls")

    def __init__(self, tls: Any) -> None:
        self._tls = tls
        known = _lib is not None and _ffi is not None
        known = known and all(hasattr(tls._tlsConnection, name) for name in ("_ssl", "_from_ssl"))
        self._encrypted = _encrypted if known else _encrypted_by_methods
        self._below = _Plain(tls.transport).write

    def write(self, data: bytes) -> None:
        tls = self._tls
        if (
            len(data) > RECORD
            or tls._lostTLSConnection
            or tls.disconnecting
            or not tls._handshakeDone
            or tls._aggregator._buffer
            or tls._appSendBuffer
        ):
            tls.write(data)
            return
        try:
            sent, record, whole = self._encrypted(tls._tlsConnection, data)
        except SSL.Error:
            # Also where it wants to read first: then the transport will keep the data.
            tls.write(data)
            return
        self._below(record)
        if not whole:
            tls._flushSendBIO()
        if sent != len(data):
            tls.write(data[sent:])


def _encrypted(connection: Any, data: bytes) -> tuple[int, bytes, bool]:
    """Bytes of `data` that OpenSSL takes, what it makes of it, and whether that is all it has.

    :param data: what fits into a record.
    :raises SSL.Error: it takes nothing now.
    """
    ssl = connection._ssl
    sent = _lib.SSL_write(ssl, _ffi.from_buffer(data), len(data))
    if sent <= 0:
        connection._raise_ssl_error(ssl, sent)
    room = len(_bytes_of_record)
    size = _lib.BIO_read(connection._from_ssl, _record, room)
    return sent, _bytes_of_record[: max(size, 0)], size < room


def _encrypted_by_methods(connection: Any, data: bytes) -> tuple[int, bytes, bool]:
    """Fallback for `_encrypted` through pyOpenSSL's public API."""
    sent = connection.send(data)
    room = sent + RECORD_OVERHEAD
    record: bytes = connection.bio_read(room)
    return sent, record, len(record) < room


def unsent_bytes(transport: Any) -> int:
    """Bytes given to `transport` that the kernel has not taken yet.

    :param transport: a TCP or Unix transport of Twisted, or TLS on one.
    """
    total = 0
    while transport is not None:
        # TLS: what waits for this turn to end, and what OpenSSL would not take yet.
        aggregator = getattr(transport, "_aggregator", None)
        for held in (getattr(aggregator, "_buffer", ()), getattr(transport, "_appSendBuffer", ())):
            total += sum(map(len, held))
        if isinstance(data := getattr(transport, "dataBuffer", None), bytes | bytearray):
            return total + len(data) - int(transport.offset) + int(transport._tempDataLen)
        transport = getattr(transport, "transport", None)
    return total
