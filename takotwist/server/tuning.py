"""Process settings for many connections: attribute storage, garbage collection, open files.

Attribute storage: CPython keeps the attributes of an instance in an array while its class knows
their names, and learns names from the first few instances only.  When those are clients that
only looked whether the port is open, or a thousand that came at once, what is set later
is learned by none, and every connection of the process has a dictionary of its own:
830 bytes instead of 170.  So each class is shown one instance with everything set.

Garbage collection: Python's default is made for scripts.  At every 700 new objects it looks for
cycles, and whatever was loaded at the start is looked through again and again.  A server makes
thousands of objects for each second of handshakes, nearly all of which go by themselves.

Open files: systems start a process with a soft limit of 1024 and a hard one far above,
because of programs that still use select(); this one uses epoll.

Rules: only space depends on attribute names, so one too many or too few is harmless; what does
not fit into the limit of files is said at the start, not found out at the peak.
"""

from __future__ import annotations

import gc
import resource
from collections.abc import Mapping
from pathlib import Path

import attrs
from twisted.internet import tcp, unix

from takotwist.core.counted import counted
from takotwist.tls.connection import TlsConnection

# attribute storage

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
    """Teach each class its attributes; before the first connection, once in a process."""
    for kind, names in names_of.items():
        shown: object = object.__new__(kind)
        for name in names:
            setattr(shown, name, None)


# garbage collection

#: New objects until the youngest are looked through; then how often the older are.
YOUNG, MIDDLE, OLD = 10_000, 20, 20


def settle_garbage() -> None:
    """Take what is loaded now for permanent, and look less often.  For whole processes only."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)


# open files

#: Files that are no connections: database and journal, listeners, requests to the app, the log.
RESERVED = 256

#: What an unlimited process may have, where the system does not say.
FALLBACK = 1_048_576


@attrs.frozen(slots=True)
class OpenFiles:
    """The limit on open files that holds.

    :ivar limit: files that this process may have open.
    """

    limit: int

    @property
    def connections(self) -> int:
        """Connections that fit beside everything else."""
        return max(self.limit - RESERVED, self.limit // 2)

    def shortage(self, max_connections: int) -> str | None:
        """A sentence when the configured number of connections does not fit."""
        if max_connections <= self.connections:
            return None
        return (
            f"limits.max_connections is {max_connections}, and this process may have"
            f" {self.limit} files open, enough for {counted(self.connections, 'connection')}. Set"
            f" LimitNOFILE={max_connections + RESERVED} in the systemd unit, or lower"
            " limits.max_connections."
        )


def raise_open_files(nr_open: Path = Path("/proc/sys/fs/nr_open")) -> OpenFiles:
    """Raise the soft limit to the hard one.

    :param nr_open: file in which Linux says what a process may have at most, for a hard limit of
        "unlimited".
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _most(nr_open) if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            # A container may forbid it; what is left is still enough to start.
            wanted = soft
    return OpenFiles(wanted if soft == resource.RLIM_INFINITY else max(soft, wanted))


def _most(nr_open: Path) -> int:
    try:
        return int(nr_open.read_text())
    except (OSError, ValueError):
        return FALLBACK
