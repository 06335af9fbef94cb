"""What a reload takes up of the app elsewhere."""

from __future__ import annotations

import attrs
from twisted.internet.defer import CancelledError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.app_client import TOKEN_HEADER
from takotwist.errors import ConfigError
from takotwist.server.config import Config
from takotwist.server.config.app import App
from takotwist.server.definitions import Definitions


def config(token: str | None) -> Config:
    """With an app elsewhere."""
    return Config(app=App(url="http://192.0.2.1:9", token=token))


class TestDefinitions(SynchronousTestCase):
    """The secret that server and app have in common."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.definitions = Definitions.of(
            config("first"), self.reactor, ThreadPool(0, 1), lambda: 0.5
        )
        self.definitions.load()

    def asked(self) -> bytes:
        """What the app is asked now."""
        client = self.definitions._client
        assert client is not None
        asking = client.ask("GET", "/channels/registry")
        asking.addErrback(lambda failure: failure.trap(CancelledError))
        self.addCleanup(asking.cancel)
        protocol = self.reactor.tcpClients.pop()[2].buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        return transport.value()

    def test_token(self) -> None:
        """A new token is shown from the next question on."""
        name = TOKEN_HEADER.encode().lower()
        self.assertIn(name + b": first", self.asked().lower())
        self.definitions.load(attrs.evolve(config("second")), again=True)
        self.assertIn(name + b": second", self.asked().lower())

    def test_no_token(self) -> None:
        """A configuration without one is refused, and the old one stays."""
        with self.assertRaises(ConfigError):
            self.definitions.load(config(None), again=True)
        self.assertIn(b": first", self.asked().lower())
