"""The start of the server from options."""

from __future__ import annotations

import os
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

#: Makes the server of the options that are given, and says which modules that took.
MADE = """
import sys
from twisted.internet import reactor
from takotwist.server.options import Options
from takotwist.server.start import make_service
options = Options()
options.update({"state-dir": sys.argv[1], "workers": sys.argv[2]})
print(type(make_service(options, reactor)).__name__, *sys.modules)
"""


class WorkersTests(SynchronousTestCase):
    """Which service is made."""

    def _made(self, workers: str) -> list[str]:
        folder = self.mktemp()
        ran = subprocess.run(
            [sys.executable, "-c", MADE, folder, workers],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "NOTIFY_SOCKET": ""},
        )
        return ran.stdout.split()

    def test_supervisor(self) -> None:
        """A supervisor holds sockets and processes, and nothing of what serves."""
        name, *modules = self._made("2")
        self.assertEqual(name, "Supervisor")
        self.assertIn("takotwist.server.supervisor.supervisor", modules)
        unwanted = (
            "takotwist.adapters",
            "takotwist.flow",
            "takotwist.streams",
            "takotwist.transports",
            "jsonschema_rs",
            "sqlite3",
        )
        self.assertEqual([one for one in modules if one.startswith(unwanted)], [])

    def test_one(self) -> None:
        """A server of one worker is the server, and knows nothing of a supervisor."""
        name, *modules = self._made("1")
        self.assertEqual(name, "TakoService")
        ours = [one for one in modules if one.startswith("takotwist.server.")]
        self.assertIn("takotwist.server.service", ours)
        unwanted = (
            "takotwist.server.supervisor",
            "takotwist.server.worker",
            "takotwist.server.notify",
        )
        self.assertEqual([one for one in ours if one.startswith(unwanted)], [])


#: A server a part of which fails as it starts.
FAILING = """
import sys
from takotwist.flow.presence_kicks import PresenceKicks
def start(self):
    raise ValueError("a fault of ours")
PresenceKicks.start = start
if sys.argv[1] == "serve":
    from takotwist.cli import main
    main()
else:
    from twisted.scripts.twistd import run
    run()
"""


class StartTests(SynchronousTestCase):
    """A start that fails for a reason that nobody thought of."""

    def test_exit_code(self) -> None:
        """The process ends, and its exit code says that it was no calm end."""
        folder = os.path.abspath(self.mktemp())
        options = ["--state-dir", folder, "--listen", "tcp:0:interface=127.0.0.1"]
        for command in (["serve"], ["-n", "tako"]):
            ran = subprocess.run(
                [sys.executable, "-c", FAILING, *command, *options],
                capture_output=True,
                text=True,
                timeout=300,
            )
            said = ran.stdout + ran.stderr
            self.assertEqual(ran.returncode, 1, said)
            self.assertIn("starting failed", said)
            self.assertIn("a fault of ours", said)
            self.assertNotIn("ready, channels", said)
