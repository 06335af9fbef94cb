"""How many processes, and what they are told."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config import Config, load_config
from takotwist.server.supervisor.kinds import (
    HELD,
    VERSION,
    Start,
    available_cpus,
    count_of,
    held,
    holding,
    workers,
)
from takotwist.server.supervisor.process import MODULE


class VersionTests(SynchronousTestCase):
    """Processes of two releases."""

    def test_other(self) -> None:
        """A process does not start under a supervisor of another release, and says what to do."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            # Also where it would not know what it is told.
            ours.send(json.dumps({"version": VERSION + 1, "news": True}).encode())
            ran = subprocess.run(
                [sys.executable, "-m", MODULE, str(theirs.fileno()), "worker-1"],
                pass_fds=[theirs.fileno()],
                capture_output=True,
                text=True,
            )
        self.assertEqual(ran.returncode, 1)
        self.assertIn("worker-1: the supervisor is of another release", ran.stderr)
        self.assertIn("restart the whole server", ran.stderr)
        self.assertNotIn("Traceback", ran.stderr)

    def test_version(self) -> None:
        """Whoever changes what a process is told raises the version, and writes this down."""
        shape = " ".join(f"{one.name}:{one.type}" for one in attrs.fields(Start))
        digest = hashlib.sha256(shape.encode()).hexdigest()[:16]
        self.assertEqual((VERSION, digest), (1, "c370109929b3a9eb"))


class CountTests(SynchronousTestCase):
    """How many workers."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.cpus = len(os.sched_getaffinity(0))

    def _allowed(self, text: str) -> int:
        (self.folder / "cpu.max").write_text(text)
        return available_cpus(self.folder)

    def test_cpus(self) -> None:
        """Those that it may run on, and of those what its control group allows, rounded up."""
        self.assertEqual(self._allowed("max 100000\n"), self.cpus)
        self.assertEqual(self._allowed("50000 100000\n"), 1)
        self.assertEqual(self._allowed("150000 100000\n"), min(2, self.cpus))
        self.assertEqual(self._allowed("9900000 100000\n"), self.cpus)

    def test_no_group(self) -> None:
        """Without a control group, or with one that cannot be read, the first alone holds."""
        self.assertEqual(available_cpus(self.folder / "none"), self.cpus)
        self.assertEqual(self._allowed("nonsense"), self.cpus)

    def test_wanted(self) -> None:
        """A number, or one for each CPU."""
        config = Config()
        self.assertEqual(count_of(config), 1)
        auto = attrs.evolve(config, server=attrs.evolve(config.server, workers="auto"))
        self.assertEqual(count_of(auto), available_cpus())

    def test_labels(self) -> None:
        """Workers have numbers, and the only one of its kind has none."""
        kind = workers(2)
        self.assertEqual([kind.label(1), kind.label(2)], ["worker-1", "worker-2"])
        self.assertEqual(attrs.evolve(kind, count=1, serves=False).label(1), "worker")


class HeldTests(SynchronousTestCase):
    """What stays as it was when the supervisor started."""

    def test_held(self) -> None:
        """Every one of them comes through the message to a process, whatever the file says then."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        file = folder / "tako.toml"
        file.write_text(
            'state_dir = "here"\n[server]\nworkers = 3\n[http]\nlisten = ["tcp:1", "tcp:2"]\n'
            '[replay]\npath = "log"\n[limits]\nmax_connections = 5\n'
        )
        begun = load_config({}, {}, folder)
        file.write_text(
            'state_dir = "there"\n[server]\nworkers = 4\n[http]\nlisten = ["tcp:3"]\n'
            "[private]\nlisten = []\n[limits]\nmax_connections = 6\n"
        )
        now = load_config({}, {}, folder)
        kept = holding(now, json.loads(json.dumps(held(begun))))
        self.assertEqual(held(kept), held(begun))
        self.assertEqual(sorted(held(begun)), sorted(HELD))
        self.assertEqual(kept.state_dir, folder / "here")
        self.assertEqual(kept.replay.path, folder / "log")
        self.assertEqual(kept.http.listen, ("tcp:1", "tcp:2"))
        self.assertEqual(kept.limits.max_connections, 6)
