"""File descriptors run out: whoever is there goes on, whoever comes waits."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import time
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.faults.seen import say
from tests.faults.watching import cpu_seconds, publish
from tests.sockets.readers import SseReader, WebSocketReader
from tests.sockets.server_process import FAST, ServerProcess, wait_until

#: Files that the server may have open, and clients that want to be there.
FILES = 200
CLIENTS = 300

ROOM = {"roomId": "lobby"}


def _few_files() -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))


class DescriptorTests(SynchronousTestCase):
    """A server whose limit of open files is below what comes."""

    def test_accepting_pauses(self) -> None:
        """Connections past the limit wait and are not dropped, those that are open receive and
        publishes are stored meanwhile, the operator can look in and reads of it once, and the
        ones who waited are served when others leave."""
        server = ServerProcess(FAST)
        self.addCleanup(server.close)
        server.start(preexec_fn=_few_files())
        readers = [kind(server.port, "chat", ROOM) for kind in (SseReader, WebSocketReader)]
        for reader in readers:
            self.addCleanup(reader.close)
            reader.begin()
        crowd: list[socket.socket] = []
        self.addCleanup(lambda: [one.close() for one in crowd])
        for _ in range(CLIENTS):
            one = socket.create_connection(("127.0.0.1", server.port), timeout=60)
            crowd.append(one)
            one.sendall(b"GET /_tako/channels/news HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: "accepting pauses" in server.log, "a word in the log")
        began, used = time.monotonic(), cpu_seconds(server.pid)
        for number in range(20):
            publish(server, {"n": number})
        for reader in readers:
            reader.read_until(20)
            self.assertEqual([one["data"]["n"] for one in reader.messages], list(range(20)))
        time.sleep(1.0)
        elapsed, used = time.monotonic() - began, cpu_seconds(server.pid) - used
        with server.private() as private:
            self.assertEqual(private.get("/_tako/health").status_code, 200)
        served, waiting, dropped = self._sort(crowd)
        open_files = len(os.listdir(f"/proc/{server.pid}/fd"))
        say(
            f"{CLIENTS} connections to a server that may have {FILES} files open",
            f"{len(served)} served, {len(waiting)} wait, {dropped} dropped; {open_files} files"
            f" open; 20 messages stored and received meanwhile; {used / elapsed:.0%} of a core",
        )
        self.assertEqual(dropped, 0)
        self.assertGreater(len(served), FILES // 2)
        self.assertGreater(len(waiting), CLIENTS - FILES)
        self.assertLess(used / elapsed, 0.6)
        for one in served:
            one.close()
        for one in waiting:
            one.settimeout(60)
            self.assertIn(b"200 OK", one.recv(4096))
            one.close()
        wait_until(lambda: server.connected == 2, "that only the two readers are left")
        publish(server, {"n": 20})
        for reader in readers:
            reader.read_until(21)
        self.assertEqual(server.log.count("accepting pauses"), 1)
        wait_until(lambda: "accepting goes on" in server.log, "that the log says so")
        for words in ("EMFILE", "Could not accept", "Too many open files"):
            self.assertNotIn(words, server.log)
        server.assert_clean()

    def _sort(
        self, crowd: list[socket.socket]
    ) -> tuple[list[socket.socket], list[socket.socket], int]:
        """Who was served, who waits, and how many were dropped."""
        served, waiting, dropped = [], [], 0
        for one in crowd:
            one.settimeout(0)
            with contextlib.suppress(ConnectionResetError):
                try:
                    if b"200 OK" in one.recv(4096):
                        served.append(one)
                        continue
                except BlockingIOError:
                    waiting.append(one)
                    continue
            dropped += 1
        return served, waiting, dropped
