"""The real server as a process of its own, to be killed and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHANNELS = """
from takotwist import define_channel

room = {"type": "object", "properties": {"roomId": {"type": "string"}}, "required": ["roomId"]}
chat = define_channel("chat", params=room)
news = define_channel("news")

@chat.on("msg")
def msg(data, context):
    return data
"""

CONFIG = """
state_dir = "state"

[http]
listen = ["tcp:{port}:interface=127.0.0.1"]

[private]
listen = ["unix:state/private.sock:mode=600"]

[limits]
publish_rate = 0
connect_rate = 0
"""


class ServerProcess:
    """``twistd tako`` in a folder of its own, with the channels ``chat`` and ``news``.

    :ivar port: on 127.0.0.1; the same after each start.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        (self.folder / "channels").mkdir()
        (self.folder / "channels" / "room.py").write_text(CHANNELS)
        (self.folder / "tako.toml").write_text(CONFIG.format(port=self.port))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """All that it has said so far."""
        return (self.folder / "log").read_text()

    def start(self) -> None:
        """Start it, and wait until it listens.

        :raises RuntimeError: it does not; holds its log.
        """
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "tako"],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        for _ in range(400):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"the server does not listen:\n{self.log}")

    def kill(self) -> None:
        """``kill -9``."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it as a service manager would."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(20)

    def close(self) -> None:
        """Kill it if it runs, and remove the folder."""
        self.kill()
        self._folder.cleanup()
