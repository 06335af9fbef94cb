"""Workers that are killed again and again, and replaced, under connections."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
import time
from itertools import cycle

import httpx
from twisted.trial.unittest import TestCase

from tests.sockets.server_process import FAST, wait_until
from tests.sockets.supervised_process import SupervisedServer

SUBSCRIBE = b"GET /channels/news HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"


#: Seconds in which three workers that start at once, on a busy machine, have come.
LATE = 120.0


class Subscriber(threading.Thread):
    """A subscriber that comes back whenever it is cut.

    :ivar refused: connects that failed.
    :ivar served: answers that began.
    """

    def __init__(self, port: int, over: threading.Event) -> None:
        super().__init__()
        self.port, self.over = port, over
        self.refused: list[OSError] = []
        self.served = 0

    def run(self) -> None:
        """See `threading.Thread`."""
        while not self.over.is_set():
            try:
                connection = socket.create_connection(("127.0.0.1", self.port), 30)
            except OSError as failure:
                self.refused.append(failure)
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(0.5)
                connection.sendall(SUBSCRIBE)
                self._read(connection)

    def _read(self, connection: socket.socket) -> None:
        """Read to the end."""
        data = b""
        while not self.over.is_set():
            try:
                data = connection.recv(4096)
            except TimeoutError:
                continue
            if not data:
                return
            self.served += data.startswith(b"HTTP/1.1 200")


def _kill(pid: int) -> None:
    """``kill -9``; it may have ended since it was looked for."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


class WorkersTests(TestCase):
    """Three workers, and 60 subscribers that come back."""

    timeout = 180

    def setUp(self) -> None:
        self.server = SupervisedServer(workers=3, config=FAST + "drain_seconds = 1\n")
        self.addCleanup(self.server.close)
        self.server.start()
        self.over = threading.Event()
        self.subscribers = [Subscriber(self.server.port, self.over) for _ in range(60)]
        for one in self.subscribers:
            one.start()
        self.addCleanup(self._end)

    def _end(self) -> None:
        self.over.set()
        for one in self.subscribers:
            one.join()

    def _assert_served(self) -> None:
        """Nobody was refused, and everybody is served in the end."""
        before = [one.served for one in self.subscribers]
        for pid in self.server.workers.values():
            _kill(pid)
        wait_until(
            lambda: all(
                one.served > had for one, had in zip(self.subscribers, before, strict=True)
            ),
            lambda: f"all served once more:\n{self.server.log}",
            LATE,
        )
        self._end()
        self.assertEqual([one.refused for one in self.subscribers if one.refused], [])
        self.assertEqual(self.server.stop(), 0)
        self.server.assert_clean()

    def _ended(self) -> int:
        """Rolling restarts that are done, or off."""
        return len(re.findall("rolling restart(: done| is off)", self.server.log))

    def test_killed_in_turn(self) -> None:
        """`kill -9` of one after the other: no connect fails, and the server goes on."""
        until = time.monotonic() + 10
        for number in cycle((1, 2, 3)):
            if time.monotonic() > until:
                break
            pid = self.server.workers.get(number)
            if pid is not None:
                _kill(pid)
            time.sleep(1.0)
        self._assert_served()

    def test_rolling_restarts(self) -> None:
        """Rolling restarts, with a death in the middle of one: no connect fails."""
        for _ in range(2):
            ended = self._ended()
            self.server.signal(signal.SIGUSR2)
            time.sleep(1.0)
            _kill(wait_until(lambda: self.server.workers.get(3), "worker 3"))
            # It may have been the one that was being replaced: then the restart is off.
            wait_until(
                lambda ended=ended: self._ended() > ended,  # type: ignore[misc]
                lambda: f"the end of it:\n{self.server.log}",
                LATE,
            )
        answer = httpx.get(f"{self.server.url}/channels/news/history", timeout=60)
        self.assertEqual(answer.status_code, 200)
        self._assert_served()
