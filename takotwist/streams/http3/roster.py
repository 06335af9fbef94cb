"""Roster of connected clients, by which the next process can tell them that they are not.

A server that is killed says nothing, and a client that only listens sends nothing, so it
hears of a stateless reset (RFC 9000 section 10.3) only when it next pings: after fifteen
seconds in Chromium.  The file is mapped into memory: to write there costs no system call,
and what was written outlives the process.  The RFC knows a reset only as an answer; one that
comes unasked is checked by its token in the same way, and goes to nobody who was not there
a moment ago.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from collections.abc import Callable, Hashable
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from takotwist.streams.http3.stateless import Address

#: Connection id, whether it is IPv4, address, port.
_ENTRY = struct.Struct("!8s?16sH5x")

#: When the process was alive, in seconds of the wall clock.
_HEAD = struct.Struct("!d24x")

#: A client gives up by itself after the idle timeout; later there is nobody to tell.
SECONDS = 60.0


class Roster:
    """The clients of one port.

    :param path: of the file, which only the server's user can read.
    :param most: connections that there may be.
    :param wall: the time of day, in seconds.
    :ivar left: those who were connected to the process before, with their connection ids.
    :raises OSError: the file cannot be used.
    """

    def __init__(self, path: Path, most: int, wall: Callable[[], float]) -> None:
        self._wall = wall
        size = _HEAD.size + most * _ENTRY.size
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            os.fchmod(file.fileno(), 0o600)
            self.left: list[tuple[bytes, Address]] = self._read(file.read())
            # What it had is gone.
            file.truncate(0)
            self._map = mmap.mmap(file.fileno() if _allocated(file.fileno(), size) else -1, size)
        self._entries: dict[Hashable, tuple[int, bytes, Address]] = {}
        self._free: list[int] = []
        self._used, self._most = 0, most
        self.alive()

    def _read(self, data: bytes) -> list[tuple[bytes, Address]]:
        left: list[tuple[bytes, Address]] = []
        if len(data) < _HEAD.size or abs(self._wall() - _HEAD.unpack_from(data)[0]) > SECONDS:
            return left
        last = len(data) - _ENTRY.size
        for at in range(_HEAD.size, last + 1, _ENTRY.size):
            connection_id, is_v4, packed, port = _ENTRY.unpack_from(data, at)
            if port:
                address = ip_address(packed[:4]) if is_v4 else IPv6Address(packed)
                left.append((connection_id, (str(address), port)))
        return left

    def alive(self) -> None:
        """Say that the process is alive: more often than every `SECONDS`."""
        _HEAD.pack_into(self._map, 0, self._wall())

    def note(self, connection: Hashable, connection_id: bytes, address: Address) -> None:
        """Record the address of a client, and the id by which it calls its connection now."""
        slot, known_id, known_address = self._entries.get(connection, (-1, b"", None))
        if known_id == connection_id and known_address == address:
            return
        if slot < 0:
            if self._free:
                slot = self._free.pop()
            elif self._used < self._most:
                slot, self._used = self._used, self._used + 1
            else:
                return
        self._entries[connection] = slot, connection_id, address
        host = ip_address(address[0].partition("%")[0])
        packed = _ENTRY.pack(connection_id, host.version == 4, host.packed, address[1])
        at = _HEAD.size + slot * _ENTRY.size
        self._map[at : at + _ENTRY.size] = packed

    def forget(self, connection: Hashable) -> None:
        """It is over, and its client knows."""
        entry = self._entries.pop(connection, None)
        if entry is not None:
            self._free.append(entry[0])
            at = _HEAD.size + entry[0] * _ENTRY.size
            self._map[at : at + _ENTRY.size] = bytes(_ENTRY.size)

    def close(self) -> None:
        """Nobody is there any more."""
        self._entries.clear()
        if not self._map.closed:
            self._map[:] = bytes(len(self._map))
            self._map.close()


def _allocated(descriptor: int, size: int) -> bool:
    """Give a file its size, with room for it on the disk; `False` where there is none.

    Who writes into memory that is mapped to a file, at a place that has no room on the disk and
    gets none, is killed (SIGBUS).  Without it the next process tells nobody, and that is all.
    """
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as failure:
        if failure.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        return False
    return True
