"""What the service manager is told."""

from __future__ import annotations

import os
import socket
import tempfile

from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.notify import Notify


class NotifyTests(SynchronousTestCase):
    """A socket in the manager's place."""

    def _told(self, address: str, name: str) -> list[bytes]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(address)
            manager.settimeout(5)
            notify = Notify.of({"NOTIFY_SOCKET": name})
            notify.ready("2 workers serve")
            notify.reloading()
            notify.stopping()
            return [manager.recv(999) for _ in range(3)]

    def test_told(self) -> None:
        """At a path and at an abstract name, in the words of sd_notify(3)."""
        folder = tempfile.TemporaryDirectory(prefix="tako")
        self.addCleanup(folder.cleanup)
        path, abstract = f"{folder.name}/notify", f"tako-tests-{os.getpid()}"
        for address, name in ((path, path), (f"\0{abstract}", f"@{abstract}")):
            ready, reloading, stopping = self._told(address, name)
            self.assertEqual(
                ready.decode(), f"READY=1\nMAINPID={os.getpid()}\nSTATUS=2 workers serve"
            )
            self.assertRegex(reloading.decode(), r"^RELOADING=1\nMONOTONIC_USEC=\d+$")
            self.assertEqual(stopping, b"STOPPING=1")

    def test_nobody(self) -> None:
        """No manager, or one that has gone, is nobody's fault."""
        Notify.of({}).ready("")
        Notify.of({"NOTIFY_SOCKET": "/nonexistent/notify"}).ready("")
