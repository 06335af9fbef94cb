from __future__ import annotations

from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.seams.socket import unsent_bytes


class _Partial(FileDescriptor):
    """Twisted's own buffering, on a socket that takes five bytes at a time."""

    connected = 1

    def writeSomeData(self, data: bytes) -> int:
        return min(len(data), 5)

    def startWriting(self) -> None:
        """Written by hand."""

    def stopWriting(self) -> None:
        """Written by hand."""


class _Aggregator:
    def __init__(self, held: list[bytes]) -> None:
        self._buffer = held


class _Tls:
    """The attributes of `twisted.protocols.tls.BufferingTLSTransport`."""

    def __init__(self, transport: Any, held: list[bytes], refused: list[bytes]) -> None:
        self.transport = transport
        self._aggregator = _Aggregator(held)
        self._appSendBuffer = refused


class UnsentTests(SynchronousTestCase):
    """How much a transport still holds."""

    def setUp(self) -> None:
        self.transport = _Partial(reactor=MemoryReactorClock())

    def test_counted_at_every_stage(self) -> None:
        """Bytes count until the kernel has taken them, however Twisted stores them."""
        self.assertEqual(unsent_bytes(self.transport), 0)
        self.transport.write(b"0123456789")
        self.transport.write(b"abc")
        self.assertEqual(unsent_bytes(self.transport), 13)
        self.transport.doWrite()
        self.assertEqual(unsent_bytes(self.transport), 8)
        self.transport.write(b"def")
        self.assertEqual(unsent_bytes(self.transport), 11)
        for _ in range(3):
            self.transport.doWrite()
        self.assertEqual(unsent_bytes(self.transport), 0)

    def test_tls(self) -> None:
        """What TLS holds back counts, beside what waits below it."""
        self.transport.write(b"0123456789")
        tls = _Tls(self.transport, [b"ab", b"c"], [b"defg"])
        self.assertEqual(unsent_bytes(tls), 17)

    def test_unknown(self) -> None:
        """A transport that shows nothing counts as empty."""
        self.assertEqual(unsent_bytes(object()), 0)
        self.assertEqual(unsent_bytes(None), 0)
