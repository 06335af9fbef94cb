"""The disk fails at each system call of a transaction in turn, in each way that a disk has."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.faults.failing_disk import FAULTS, WHENS
from tests.faults.seen import say

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
#: Where each fault would take long, and the code is the same.
SOME = ("EIO", "ENOSPC until there is room", "half a write, then EIO")

PROGRAM = "tests.faults.failing_disk"


class FailingDiskTests(SynchronousTestCase):
    """What is acknowledged is with every reader, in order, once: live, in the history, on a
    resume, and after a restart.  What was refused is there once when it was asked for again."""

    def setUp(self) -> None:
        """The compiler is a part of what the tests need (`tests/run`)."""
        folder = tempfile.TemporaryDirectory(prefix="tako-disk-")
        self.addCleanup(folder.cleanup)
        self.library = Path(folder.name) / "failing_disk.so"
        source = HERE / "failing_disk.c"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", self.library, source, "-ldl"],
            check=True,
        )

    def turns(self, durability: str, fault: str, when: str) -> list[dict[str, Any]]:
        with tempfile.TemporaryDirectory(prefix="tako-disk-") as folder:
            ran = subprocess.run(
                [sys.executable, "-m", PROGRAM, folder, durability, fault, when],
                cwd=ROOT,
                env={"LD_PRELOAD": str(self.library), "PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True,
                text=True,
                check=False,
            )
        lines = ran.stdout.splitlines()
        self.assertEqual(ran.returncode, 0, f"{len(lines)} turns, then: {ran.stderr[-3000:]}")
        return [json.loads(line) for line in lines]

    def check(self, durability: str, fault: str, when: str) -> None:
        turns = self.turns(durability, fault, when)
        calls = Counter(turn["call"] for turn in turns[:-1])
        refused = 0
        for turn in turns:
            where = f"{durability}, {fault} at {turn['call']} of a {when}: {turn}"
            self.assertEqual(turn["live"], turn["expected live"], where)
            for what in ("history", "resumed", "after a restart"):
                self.assertEqual(turn[what], [1, 2, 3][what != "history" :], f"{what}, {where}")
            refused += 503 in turn["statuses"]
        say(
            f"{durability}: {fault} at each call of a {when}",
            f"{len(turns) - 1} calls ({', '.join(f'{n} {call}' for call, n in calls.items())}),"
            f" {refused} refused first; everybody saw all, once",
        )
        self.assertGreater(refused, 0)
        self.assertNotIn(503, turns[-1]["statuses"])
        self.assertTrue(any("-wal" in call for call in calls), calls)
        if durability == "power" and when == "publish":
            self.assertTrue(any("fdatasync" in call for call in calls), calls)

    def test_publish(self) -> None:
        """During a publish."""
        for durability, fault in product(("commit", "power"), FAULTS):
            self.check(durability, fault, WHENS[0])

    def test_writing_home(self) -> None:
        """During a publish in which SQLite writes its write-ahead log home."""
        for durability, fault in product(("commit", "power"), SOME):
            self.check(durability, fault, WHENS[1])

    def test_start(self) -> None:
        """During a start and its first publish: no cursor is lost to it."""
        for durability, fault in product(("commit", "power"), SOME):
            self.check(durability, fault, WHENS[2])
