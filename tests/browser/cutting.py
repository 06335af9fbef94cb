"""The cutting proxy as a program of its own: a network that is as bad as it gets."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.sockets.server_process import wait_until

ROOT = Path(__file__).parents[2]


class CuttingProcess:
    """Cuts every connection to `port` after 0.2 to 2 seconds.

    :param encrypted: whether there is TLS at `port`.
    :ivar port: where it listens.
    """

    def __init__(self, port: int, seed: int, encrypted: bool = False) -> None:
        self._out = tempfile.NamedTemporaryFile("r", prefix="tako-proxy-")  # noqa: SIM115
        command = [sys.executable, "-um", "tests.faults.cutting_proxy"]
        command += ["--to", f"127.0.0.1:{port}", "--seed", str(seed)]
        command += ["--tls"] if encrypted else []
        with Path(self._out.name).open("wb") as out:
            self._process = subprocess.Popen(command, cwd=ROOT, stdout=out)
        self.port = int(wait_until(self._lines, "a proxy that listens")[0])

    @property
    def connections(self) -> int:
        """That it has taken, each of which it has cut or will cut."""
        return len(self._lines()) - 1

    def _lines(self) -> list[str]:
        return Path(self._out.name).read_text().splitlines()

    def close(self) -> None:
        """End it, and with it every connection."""
        self._process.kill()
        self._process.wait()
        self._out.close()
