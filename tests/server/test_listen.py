"""Listeners in memory: what is opened, and what is said when it cannot be."""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config import ConfigProblems
from takotwist.server.listen import Listen, Listening, close_listeners, open_listeners, shown


class FailingReactor(MemoryReactorClock):
    """Refuses ports, with the error that the system would have.

    :ivar refused: port -> errno.
    """

    refused: dict[int, int]

    def listenTCP(self, port: int, *arguments: Any, **named: Any) -> Any:
        """As the real one, but for the refused."""
        if port in self.refused:
            error = OSError(self.refused[port], "reason")
            raise CannotListenError("", port, error)
        return super().listenTCP(port, *arguments, **named)


class ListenTests(SynchronousTestCase):
    """All or none."""

    def setUp(self) -> None:
        self.reactor = FailingReactor()
        self.reactor.refused = {}
        self.factory = Factory.forProtocol(Protocol)

    def _open(self, *endpoints: str) -> list[Listening]:
        wanted = [Listen(endpoint=one, factory=self.factory) for one in endpoints]
        return self.successResultOf(ensureDeferred(open_listeners(self.reactor, wanted)))

    def _problems(self, *endpoints: str) -> list[str]:
        wanted = [Listen(endpoint=one, factory=self.factory) for one in endpoints]
        opening = ensureDeferred(open_listeners(self.reactor, wanted))
        return str(self.failureResultOf(opening, ConfigProblems).value).splitlines()

    def test_several(self) -> None:
        """Each endpoint is listened on, with room for those who come back at once."""
        opened = self._open("tcp:8080", "tcp:8081:interface=127.0.0.1")
        self.assertEqual(
            [(port, backlog, interface) for port, _, backlog, interface in self.reactor.tcpServers],
            [(8080, 1024, ""), (8081, 1024, "127.0.0.1")],
        )
        self.assertEqual(len(opened), 2)

    def test_backlog_that_was_said(self) -> None:
        """An operator's own backlog stays."""
        self._open("tcp:8080:backlog=5")
        self.assertEqual(self.reactor.tcpServers[0][2], 5)

    def test_what_to_do(self) -> None:
        """A port in use, a right that lacks, an address that is none: each with its cure."""
        self.reactor.refused = {
            80: errno.EACCES,
            81: errno.EADDRINUSE,
            82: errno.EADDRNOTAVAIL,
            83: errno.ENOBUFS,
        }
        problems = self._problems("tcp:80", "tcp:81", "tcp:82:interface=9.9.9.9", "tcp:83")
        for problem, words in zip(
            problems,
            ("CAP_NET_BIND_SERVICE", "port 81 is in use", "no address 9.9.9.9", "cannot listen"),
            strict=True,
        ):
            self.assertIn(words, problem)
        self.assertTrue(problems[0].startswith("tcp:80: http.listen: "))

    def test_one_fails_none_stays(self) -> None:
        """When one cannot be opened the others are closed again."""
        closed = []
        real = self.reactor.listenTCP

        def listen(*arguments: Any, **named: Any) -> Any:
            port = real(*arguments, **named)
            port.stopListening = lambda: closed.append(arguments[0])
            return port

        self.reactor.listenTCP = listen  # type: ignore[method-assign]
        self.reactor.refused = {81: errno.EADDRINUSE}
        self.assertEqual(len(self._problems("tcp:80", "tcp:81", "tcp:82")), 1)
        self.assertEqual(closed, [80, 82])

    def test_endpoint_of_a_missing_plugin(self) -> None:
        """A kind that nobody provides is told, not traced back."""
        [problem] = self._problems("onion:80")
        self.assertIn("Unknown endpoint type", problem)

    def test_systemd_without_systemd(self) -> None:
        """A passed socket that was not passed says how the server must be started."""
        [problem] = self._problems("systemd:domain=INET:index=0")
        self.assertIn("must be started by its .socket unit", problem)

    def test_close(self) -> None:
        """Closing ends with all of them closed."""
        opened = self._open("tcp:8080")
        self.successResultOf(ensureDeferred(close_listeners(opened)))

    def test_close_fails(self) -> None:
        """Where one cannot be closed the others are, and what hindered it is told."""
        opened = self._open("tcp:8080", "tcp:8081", "tcp:8082")
        closed: list[Deferred[None]] = []

        def close() -> Deferred[None]:
            closed.append(Deferred())
            return closed[-1]

        ports: list[Any] = [one.port for one in opened]
        ports[0].stopListening = lambda: 1 / 0
        ports[1].stopListening = ports[2].stopListening = close
        closing = ensureDeferred(close_listeners(opened))
        for one in closed:
            self.assertNoResult(closing)
            one.callback(None)
        self.failureResultOf(closing, ZeroDivisionError)

    def test_addresses_for_people(self) -> None:
        """What is printed can be opened in a browser."""
        self.assertEqual(
            shown(IPv4Address("TCP", "0.0.0.0", 8443), secure=True), "https://localhost:8443"
        )
        self.assertEqual(
            shown(IPv4Address("TCP", "10.0.0.1", 443), secure=True), "https://10.0.0.1"
        )
        self.assertEqual(shown(IPv6Address("TCP", "::1", 80), secure=False), "http://[::1]")
        self.assertEqual(shown(UNIXAddress(b"/run/a.sock"), secure=False), "unix:/run/a.sock")
