from __future__ import annotations

import socket
from asyncio import new_event_loop

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.unix import Port
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.seams.reactor import runs_asyncio, use_opened_socket


class ReactorTests(SynchronousTestCase):
    """Parts of reactors and ports."""

    def test_asyncio(self) -> None:
        """Only Twisted's reactor on asyncio's loop runs asyncio."""
        loop = new_event_loop()
        self.addCleanup(loop.close)
        reactor = AsyncioSelectorReactor(loop)
        self.addCleanup(reactor.removeAll)
        self.assertTrue(runs_asyncio(reactor))
        self.assertFalse(runs_asyncio(MemoryReactorClock()))

    def test_opened_socket(self) -> None:
        """A port listens on the very socket that it is given."""
        opened = socket.socket(socket.AF_UNIX)
        self.addCleanup(opened.close)
        opened.bind("")
        name = opened.getsockname()
        port = Port(b"\0unused", Factory(), reactor=MemoryReactorClock())
        use_opened_socket(port, opened)
        port.startListening()
        self.assertIs(port.socket, opened)
        self.assertEqual(opened.getsockname(), name)
        self.assertEqual(opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), 1)
