"""The private socket is removed under a running server, and comes back."""

from __future__ import annotations

import os
import shutil
import stat

import httpx
from twisted.trial.unittest import SynchronousTestCase

from tests.sockets.server_process import FAST, ServerProcess, wait_until


class PrivateSocketTests(SynchronousTestCase):
    """Each test begins with a server whose private socket is in a folder of its own."""

    def setUp(self) -> None:
        self.server = ServerProcess(
            f'{FAST}\n[private]\nlisten = ["unix:sockets/private.sock:mode=600"]\n'
        )
        self.addCleanup(self.server.close)
        self.server.start()
        self.path = self.server.folder / "sockets" / "private.sock"

    def answers(self) -> bool:
        """Whether somebody serves it."""
        transport = httpx.HTTPTransport(uds=str(self.path))
        try:
            with httpx.Client(
                transport=transport, base_url="http://private", timeout=60
            ) as private:
                return private.get("/_tako/health").status_code == 200
        except httpx.TransportError:
            return False

    def comes_back(self) -> None:
        wait_until(self.answers, "the socket")
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        wait_until(lambda: self.server.log.count("is served again") == 1, self.server.log)

    def test_removed(self) -> None:
        """The socket alone."""
        self.assertTrue(self.answers())
        self.path.unlink()
        self.comes_back()
        self.server.stop()
        self.assertFalse(self.path.exists())
        self.server.assert_clean()

    def test_folder_removed(self) -> None:
        """With its folder, which somebody makes again."""
        shutil.rmtree(self.path.parent)
        self.path.parent.mkdir()
        self.comes_back()
        self.server.assert_clean()

    def test_stop_without_it(self) -> None:
        """A server whose socket is gone stops as any other."""
        shutil.rmtree(self.path.parent)
        self.assertEqual(self.server.stop(), 0)
        self.server.assert_clean()
