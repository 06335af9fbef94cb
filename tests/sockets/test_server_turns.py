"""A channel whose app is slow keeps its own clients waiting, and nobody else."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from twisted.trial.unittest import SynchronousTestCase

from tests.sockets.server_process import ServerProcess

#: `slow` answers when the file `gate` is there; both run in the 16 threads.
CHANNELS = """
import os, time
from takotwist import Grant, define_channel

slow, quick = define_channel("slow"), define_channel("quick")

@slow.verify(header="authorization")
def wait(request):
    while not os.path.exists("gate"):
        time.sleep(0.02)
    return Grant(subject=request.header.value)

@quick.verify(header="authorization")
def answer(request):
    return Grant(subject=request.header.value)
"""

CONFIG = """
[limits]
connect_rate = 0
[app]
deadline_seconds = 120
"""

#: More than there are threads, many times over.
CLIENTS = 400


def ask(port: int, channel: str, token: str) -> socket.socket:
    """A request for an event stream; its answer is not waited for."""
    one = socket.create_connection(("127.0.0.1", port), timeout=60)
    one.sendall(
        f"GET /channels/{channel} HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {token}\r\n\r\n".encode()
    )
    return one


def status(one: socket.socket) -> bytes:
    """The status of its answer, waited for."""
    return one.recv(4096).split(b" ", 2)[1]


class TurnsTests(SynchronousTestCase):
    def test_another_channel(self) -> None:
        """Four hundred who wait for one channel do not keep the client of another waiting."""
        server = ServerProcess(CONFIG, {"rooms.py": CHANNELS})
        self.addCleanup(server.close)
        server.start()
        with ExitStack() as stack:
            slow = [
                stack.enter_context(ask(server.port, "slow", f"t{number}"))
                for number in range(CLIENTS)
            ]
            for number in range(20):
                with ask(server.port, "quick", f"q{number}") as one:
                    self.assertEqual(status(one), b"200")
            for one in slow:
                one.setblocking(False)
                self.assertRaises(BlockingIOError, one.recv, 1)
                one.settimeout(60)
            server.write("gate", "")
            self.assertEqual({status(one) for one in slow}, {b"200"})
