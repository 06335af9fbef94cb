"""Attributes of connections kept side by side, not in a dictionary for each.

CPython keeps the attributes of an instance in an array while its class knows their
names, and learns names from the first few instances only.  When those are clients that
only looked whether the port is open, or a thousand that came at once, what is set later
is learned by none, and every connection of the process has a dictionary of its own:
830 bytes instead of 170.  So each class is shown one instance with everything set.
Rule: only space depends on this; a name too many or too few is harmless.
"""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet import tcp, unix

from takotwist.tls.context import TlsConnection

_SOCKET = (
    "reactor",
    "_tempDataBuffer",
    "_tempDataLen",
    "socket",
    "fileno",
    "protocol",
    "server",
    "client",
    "sessionno",
    "hostname",
    "logstr",
    "repstr",
    "connected",
    "_addressType",
    "dataBuffer",
    "offset",
    "producer",
    "streamingProducer",
    "producerPaused",
    "disconnecting",
    "disconnected",
)

_TLS = (
    "wrappedProtocol",
    "factory",
    "_connectWrapped",
    "_aggregator",
    "write",
    "_tlsConnection",
    "_appSendBuffer",
    "__provides__",
    "connected",
    "transport",
    "_handshakeDone",
    "_lean",
    "_producer",
    "_producerPaused",
    "disconnecting",
    "_lostTLSConnection",
    "_aborted",
    "_reason",
)

NAMES: Mapping[type, tuple[str, ...]] = {
    tcp.Server: _SOCKET,
    unix.Server: (*_SOCKET, "_sendmsgQueue"),
    TlsConnection: _TLS,
}


def show_attribute_names(names_of: Mapping[type, tuple[str, ...]] = NAMES) -> None:
    """Call it before the first connection, once in a process."""
    for kind, names in names_of.items():
        shown: object = object.__new__(kind)
        for name in names:
            setattr(shown, name, None)
