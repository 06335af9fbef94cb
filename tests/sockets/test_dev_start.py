"""The start of `tako dev`: a project that is broken, and trust in the certificate."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cli.command import CommandTestCase
from tests.sockets.server_process import free_port

TAKO = str(Path(sys.executable).with_name("tako"))


class BrokenTests(CommandTestCase):
    """A project that cannot start."""

    def test_broken_at_the_start(self) -> None:
        """A project that is broken from the beginning is said in a sentence, with the line."""
        (self.folder / "channels").mkdir()
        self.write("channels/a.py", "from takotwist import define_channel\n\nx = 1 / 0")
        done = subprocess.run(
            [TAKO, "dev"],
            cwd=self.folder,
            env={**os.environ, "XDG_DATA_HOME": str(self.folder / "data"), **_ports()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("channels/a.py:3: ZeroDivisionError", done.stderr)
        self.assertIn("  >    3 | x = 1 / 0", done.stderr)
        self.assertNotIn("Traceback", done.stderr)


class TrustOfferTests(CommandTestCase):
    """In a terminal, with a user's own home."""

    def setUp(self) -> None:
        super().setUp()
        if shutil.which("certutil") is None:
            self.skipTest("certutil is in libnss3-tools")
        self.home = self.folder / "home"
        self.home.mkdir()

    def run_dev(self, answer: bytes) -> str:
        """Start it, answer if asked, and end it once it serves; what the terminal showed."""
        reading, writing = pty.openpty()
        dev = subprocess.Popen(
            [TAKO, "dev"],
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.home), "XDG_DATA_HOME": "", **_ports()},
            stdin=writing,
            stdout=writing,
            stderr=writing,
        )
        os.close(writing)
        said = b""
        try:
            while b"Ctrl-C ends it" not in said:
                said += os.read(reading, 65_536)
                if b"[Y/n]" in said and answer:
                    os.write(reading, answer)
                    answer = b""
        finally:
            dev.terminate()
            dev.wait(60)
            os.close(reading)
        return said.decode()

    @property
    def trusted(self) -> bool:
        """Whether Chrome has the CA."""
        database = self.home / ".pki" / "nssdb"
        listed = subprocess.run(
            ["certutil", "-L", "-d", f"sql:{database}"], capture_output=True, text=True, check=False
        )
        return "takotwist development CA" in listed.stdout

    def test_accepted(self) -> None:
        """Whoever says yes has the CA in the browser's store, and is not asked again."""
        said = self.run_dev(b"y\n")
        self.assertIn("which can sign for localhost only", said)
        self.assertTrue(self.trusted)
        self.assertNotIn("[Y/n]", self.run_dev(b""))

    def test_declined(self) -> None:
        """Whoever says no is not asked again either, but told how to do it later."""
        self.run_dev(b"n\n")
        self.assertFalse(self.trusted)
        again = self.run_dev(b"")
        self.assertNotIn("[Y/n]", again)
        self.assertIn("trust --nss", again)


def _ports() -> dict[str, str]:
    """Ports that nobody else uses."""
    return {
        f"TAKO_{name}_LISTEN": f"tcp:{free_port()}:interface=127.0.0.1" for name in ("HTTP", "TLS")
    }
