"""`tako trust` beside a server: it speaks of the development CA that is served."""

from __future__ import annotations

import os
import ssl
import subprocess
import tempfile
from pathlib import Path

import httpx
from twisted.trial.unittest import SynchronousTestCase

from tests.sockets.server_process import FAST, ServerProcess


class TrustTests(SynchronousTestCase):
    """One user, with a server that runs and another project."""

    def setUp(self) -> None:
        self.server = ServerProcess(FAST, serve=True, tls=True)
        self.addCleanup(self.server.close)
        self.server.start()
        elsewhere = tempfile.TemporaryDirectory(prefix="tako")
        self.addCleanup(elsewhere.cleanup)
        self.elsewhere = Path(elsewhere.name)
        listen = f"tcp:{self.server.tls_port}:interface=127.0.0.1"
        (self.elsewhere / "tako.toml").write_text(f'[tls]\nlisten = ["{listen}"]\n')

    def trust(self, data: Path) -> subprocess.CompletedProcess[str]:
        """``tako trust``, typed in another folder."""
        return subprocess.run(
            [str(Path(self.server.command[0]).with_name("tako")), "trust"],
            cwd=self.elsewhere,
            env={**os.environ, "XDG_DATA_HOME": str(data)},
            capture_output=True,
            text=True,
            check=False,
        )

    def test_from_any_folder(self) -> None:
        """The file that it names is what verifies the server, wherever it is typed."""
        done = self.trust(self.server.folder / "data")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(str(self.server.authority), done.stdout)
        trusting = ssl.create_default_context(cafile=str(self.server.authority))
        answer = httpx.get(f"{self.server.tls_url}/_tako/health", verify=trusting, timeout=60)
        self.assertEqual(answer.status_code, 200)
        self.assertFalse((self.server.folder / "state" / "tls" / "development-ca.pem").exists())
        # In this shell `tako` may be in no PATH: what the log says can be typed.
        beside = Path(self.server.command[0]).with_name("tako")
        self.assertRegex(self.server.log, f"`({beside}|tako) trust` says how to trust it")

    def test_served_by_another(self) -> None:
        """Where another CA is served, trust in this one would help nobody: it says so."""
        done = self.trust(self.elsewhere / "data")
        self.assertEqual(done.returncode, 1)
        self.assertIn("is served by another development CA", done.stderr)
        self.assertEqual(done.stdout, "")
