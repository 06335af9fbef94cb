"""A real port with one of our own sites on it: plaintext, or TLS with HTTP/2 beside HTTP/1.1."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from takotwist.streams.http.site import make_site
from tests.sockets.files_site import certificate

#: Longest that anything here may take.  Only a failure does, and the idle timeout takes longer.
PATIENCE = 50.0


def listen(case: TestCase, resource: Any, *, tls: bool = False) -> int:
    """Serve `resource` until `case` is over; returns the port."""
    site = make_site(resource, reactor)  # type: ignore[arg-type]
    if tls:
        port = reactor.listenSSL(0, site, certificate(), interface="127.0.0.1")  # type: ignore[attr-defined]
    else:
        port = reactor.listenTCP(0, site, interface="127.0.0.1")  # type: ignore[attr-defined]
    case.addCleanup(port.stopListening)
    return int(port.getHost().port)


class Curl(ProcessProtocol):
    """A curl that is heard while it runs.

    :ivar heard: all that it printed.
    :ivar ended: fires when it has.
    """

    def __init__(self, case: TestCase, *arguments: str) -> None:
        self.heard = b""
        self.ended: Deferred[None] = Deferred()
        self._waiting: list[tuple[bytes, Deferred[None]]] = []
        command = ["curl", "-sNik", "--max-time", str(PATIENCE), *arguments]
        reactor.spawnProcess(self, "curl", command, env=None)  # type: ignore[attr-defined]
        case.addCleanup(self.stop)

    def hear(self, text: bytes) -> Deferred[None]:
        """Fires when `text` has been printed."""
        heard: Deferred[None] = Deferred()
        self._waiting.append((text, heard))
        self._look()
        return heard

    def stop(self) -> Deferred[None]:
        """End it, as a user does."""
        if self.transport is not None and self.transport.pid is not None:
            self.transport.signalProcess("TERM")
        return self.ended

    def outReceived(self, data: bytes) -> None:
        self.heard += data
        self._look()

    def _look(self) -> None:
        for text, heard in list(self._waiting):
            if text in self.heard:
                self._waiting.remove((text, heard))
                heard.callback(None)

    def processEnded(self, reason: Failure) -> None:
        reason.trap(ProcessDone, ProcessTerminated)
        for text, heard in self._waiting:
            heard.errback(AssertionError(f"curl ended without {text!r}, after {self.heard!r}"))
        self._waiting.clear()
        self.ended.callback(None)
