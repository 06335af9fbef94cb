"""What every test of hostile clients stands on: a server, connections, somebody else.

Rule: what is checked is always the same: the server's memory, that the others are
served, and that it lets go of whom it has no reason to keep.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from tests.faults.seen import say
from tests.faults.watching import Canary, cpu_seconds
from tests.sockets.server_process import FAST, ServerProcess, wait_until

MIB = 1 << 20

HELLO = (
    b"GET /_tako/channels/chat?roomId=other HTTP/1.1\r\nHost: localhost\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def asked(one: socket.socket, request: bytes) -> bytes:
    """The head of the answer to `request`, and what came with it."""
    one.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = one.recv(4096)
        assert data, f"the connection ended after {answer!r}"
        answer += data
    return answer


class HostileCase(SynchronousTestCase):
    """One server, TLS too."""

    def setUp(self) -> None:
        self.server = ServerProcess(FAST, tls=True)
        self.addCleanup(self.server.close)
        self.server.start()
        self._open: list[socket.socket] = []
        self.addCleanup(lambda: [one.close() for one in self._open])

    @contextlib.contextmanager
    def bearing(self, what: str, *, most: int = 40 * MIB, patience: float = 5.0) -> Iterator[None]:
        """While in it, others are served with `patience`, which is a `Canary`'s, and memory grows
        by at most `most`."""
        server = self.server
        before, used, began = server.memory, cpu_seconds(server.pid), time.monotonic()
        with Canary(server, patience) as canary:
            wait_until(lambda: canary.delivered > 0 or canary.failed, "the first message")
            yield
        grown = server.memory - before
        say(
            what,
            f"{grown / MIB:+.1f} MiB, {cpu_seconds(server.pid) - used:.1f} s of processor in"
            f" {time.monotonic() - began:.1f} s; others: {canary.delivered} messages,"
            f" the slowest {canary.slowest * 1000:.0f} ms",
        )
        self.assertLess(grown, most)
        server.assert_clean()

    def connect(self, *, tls: bool = False, alpn: str | None = None) -> socket.socket:
        """A connection, which is closed when the test is over."""
        port = self.server.tls_port if tls else self.server.port
        one = socket.create_connection(("127.0.0.1", port), timeout=20)
        if tls:
            context = self.server.trust
            if alpn is not None:
                context.set_alpn_protocols([alpn])
            one = context.wrap_socket(one, server_hostname="localhost")
        self._open.append(one)
        return one

    def upgraded(self) -> socket.socket:
        """A WebSocket of the chat."""
        one = self.connect()
        self.assertIn(b" 101 ", asked(one, HELLO))
        return one

    def ends(self, one: socket.socket, seconds: float = 20.0) -> bytes:
        """What comes until the server closes.

        :raises TimeoutError: it does not.
        """
        one.settimeout(seconds)
        got = b""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError, ssl.SSLError):
            while data := one.recv(65536):
                got = (got + data)[-65536:]
        return got

    def closed_with(self, one: socket.socket, code: bytes) -> None:
        """The server says `code`; nobody waits for the rest of the closing."""
        one.settimeout(20)
        got = b""
        with contextlib.suppress(ConnectionResetError):
            while code not in got:
                data = one.recv(65536)
                self.assertTrue(data, "the connection ended without its code")
                got = got[-len(code) :] + data

    def hears(self, one: socket.socket, text: bytes) -> None:
        """The server says `text`, whatever it says before, and in however many pieces."""
        one.settimeout(20)
        got = b""
        while text not in got:
            data = one.recv(65536)
            self.assertTrue(data, f"the connection ended after {got!r}")
            got = got[-len(text) :] + data

    def pour(self, one: socket.socket, data: bytes, times: int) -> None:
        """Send `data` again and again, until all is sent or the server has gone."""
        one.settimeout(20)
        with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
            for _ in range(times):
                one.sendall(data)
