"""All listeners of a server: when they are opened, read and left."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import ConfigError
from takotwist.server.config import Config, Http, Private
from takotwist.server.listeners import Listeners
from takotwist.testing.world import World


class Port:
    """A listening port that remembers what became of it."""

    def __init__(self, real: Any) -> None:
        self._real, self.said = real, []
        self.socket: Any = None

    def getHost(self) -> Any:
        """Where it is."""
        return self._real.getHost()

    def startReading(self) -> None:
        """Connections are taken from now on."""
        self.said.append("reads")

    def stopReading(self) -> None:
        """They wait from now on."""
        self.said.append("waits")

    def stopListening(self) -> None:
        """It is closed."""
        self.said.append("closed")


class Reactor(MemoryReactorClock):
    """Keeps its ports, and has some that are taken."""

    def __init__(self) -> None:
        super().__init__()
        self.ports: list[Port] = []
        self.taken: set[int] = set()

    def listenTCP(self, port: int, *arguments: Any, **named: Any) -> Any:
        """As the real one, but for those that are taken."""
        if port in self.taken:
            raise CannotListenError("", port, OSError(98, "in use"))
        self.ports.append(Port(super().listenTCP(port, *arguments, **named)))
        return self.ports[-1]


class TestListeners(SynchronousTestCase):
    """A public one and a private one."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        config = Config(
            http=Http(listen=("tcp:8080",)),
            private=Private(listen=("tcp:9090:interface=127.0.0.1",)),
        )
        self.listeners = Listeners.of(config, World().parts, self.reactor, None)

    def test_life(self) -> None:
        """Nobody is let in before `read`, and nobody new after `close`."""
        self.listeners.open(1024)
        self.assertEqual([port.said for port in self.reactor.ports], [["waits"], ["waits"]])
        self.assertEqual(len(self.listeners.read()), 2)
        self.assertEqual([port.said[1:] for port in self.reactor.ports], [["reads"], ["reads"]])
        left = self.successResultOf(ensureDeferred(self.listeners.close()))
        self.successResultOf(left)
        for port in self.reactor.ports:
            self.assertEqual(port.said[2:], ["waits", "closed"])

    def test_all_or_none(self) -> None:
        """Where one port is taken the other is let go, and the one at fault is named."""
        self.reactor.taken = {9090}
        refused = self.assertRaises(ConfigError, self.listeners.open, 1024)
        self.assertIn("port 9090 is in use", str(refused))
        self.assertEqual([port.said for port in self.reactor.ports], [["closed"]])
        self.assertEqual(self.listeners.opened, ())
