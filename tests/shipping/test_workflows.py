"""The workflows of GitHub, checked without GitHub: their form, their rights, what they run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from tests.docs.page import ROOT

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))


def workflow(name: str) -> dict[str, Any]:
    """One workflow."""
    read: dict[str, Any] = yaml.safe_load((GITHUB / "workflows" / f"{name}.yml").read_text())
    return read


def commands(job: dict[str, Any]) -> Iterator[str]:
    """What the steps of a job run."""
    for step in job["steps"]:
        if "run" in step:
            yield step["run"]


class WorkflowTests(SynchronousTestCase):
    """Two linters, and what only this project knows."""

    def said_by(self, tool: str, *words: str) -> None:
        """Run a tool of this environment, which must be content."""
        program = str(Path(sys.executable).with_name(tool))
        done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_schemas(self) -> None:
        """Each file is what its reader takes: keys, kinds and values."""
        for schema, files in (
            ("github-workflows", WORKFLOWS),
            ("dependabot", [GITHUB / "dependabot.yml"]),
            ("compose-spec", [ROOT / "examples" / "fastapi" / "compose.yaml"]),
        ):
            self.said_by(
                "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, files)
            )

    def test_secure(self) -> None:
        """zizmor finds no hole: no injected text, no right too many, no cache that others fill."""
        self.said_by("zizmor", "--offline", "--no-progress", "--min-severity=medium", str(GITHUB))

    def test_pinned(self) -> None:
        """What others wrote is at a commit, with its version beside; ours is in this repository."""
        uses = [
            line.strip().removeprefix("- ").removeprefix("uses: ")
            for path in WORKFLOWS
            for line in path.read_text().splitlines()
            if "uses: " in line
        ]
        self.assertGreater(len(uses), 10)
        for one in uses:
            if one.startswith("./"):
                self.assertTrue((ROOT / one).is_file(), one)
            else:
                self.assertRegex(one, r"^[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
        # One version of each, wherever it is used.
        self.assertEqual(len({one.partition("@")[0] for one in uses}), len(set(uses)))

    def test_named(self) -> None:
        """Environments of tox, and the command of the site, are those of this project."""
        tox = (ROOT / "tox.ini").read_text()
        found = re.search(r"^\[testenv:unit-\{([\w,]+)\}\]", tox, re.MULTILINE)
        assert found
        matrix = workflow("tests")["jobs"]["unit"]["strategy"]["matrix"]["include"]
        for one in matrix:
            self.assertIn(one["environment"].removeprefix("unit-"), found[1].split(","))
        site = next(
            line for line in commands(workflow("docs")["jobs"]["build"]) if "sphinx" in line
        )
        self.assertIn(f".venv/bin/{site}\n", (ROOT / "CONTRIBUTING.md").read_text())

    def test_publishing(self) -> None:
        """Nothing is published before the tests have passed, and with no stored secret."""
        jobs = workflow("release")["jobs"]
        publishing = {name for name, job in jobs.items() if "needs" in job}
        self.assertEqual(publishing, {"pypi", "npm", "image"})
        for name in publishing:
            self.assertEqual(set(jobs[name]["needs"]), {"tests", "build"})
            self.assertEqual(jobs[name]["permissions"]["id-token"], "write")
        text = (GITHUB / "workflows" / "release.yml").read_text()
        self.assertNotIn("secrets.", text)
        self.assertIn("npm publish --provenance", text)
