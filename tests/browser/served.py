"""What most tests of this folder begin with: a server of the test's own, and a browser.

Rule: a class says what it needs of the two; nothing of what it is about is done here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.driven import Browser
from tests.sockets.server_process import FAST, ServerProcess, wait_until

#: Adds the folder of `BLANK` to a configuration.
PAGES = '\n[app]\npages = "pages"\n'

#: A page that shows nothing and asks for nothing, not even an icon.
BLANK = '<!doctype html><link rel="icon" href="data:,">'


class ServedCase(SynchronousTestCase):
    """One server and one browser for each test.

    :cvar config: text of ``tako.toml``, without listeners.
    :cvar files: what else the server's folder has: text by path.
    :cvar serve: started by ``tako serve`` and not by ``twistd``.
    :cvar tls: serves HTTPS too, by an authority that the browser trusts.
    """

    config: ClassVar[str] = FAST
    files: ClassVar[Mapping[str, str]] = {}
    serve: ClassVar[bool] = False
    tls: ClassVar[bool] = False

    def setUp(self) -> None:
        self.server = ServerProcess(self.config, serve=self.serve, tls=self.tls)
        self.addCleanup(self.server.close)
        for path, text in self.files.items():
            self.server.write(path, text)
        self.server.start()
        self.browser = Browser(*([self.server.authority] if self.tls else []))
        self.addCleanup(self.browser.close)

    def assert_connected(self, count: int) -> None:
        """So many connections come to be: until a WebSocket is there, which a busy machine may
        take its time for, event streams stand in for it."""
        wait_until(
            lambda: self.server.connected == count,
            lambda: f"{count} connections; there are {self.server.connected}",
        )
