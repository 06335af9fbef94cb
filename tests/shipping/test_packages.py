"""What a release is made of, by the very commands of its workflow; and the line for pipx."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.page import ROOT
from tests.shipping.test_workflows import workflow


def checkout(target: Path) -> None:
    """What git would check out, changes that are not committed with it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)


class _Folder(SynchronousTestCase):
    timeout = 600

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PIPX_HOME": str(self.folder / "pipx"),
            "PIPX_BIN_DIR": str(self.folder / "bin"),
            "PIPX_MAN_DIR": str(self.folder / "man"),
        }

    def run_command(self, command: str, cwd: Path, **environment: str) -> str:
        """A command of a shell as GitHub runs it; what it printed."""
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", command],
            cwd=cwd,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout}{done.stderr}")
        return done.stdout


class ReleaseTests(_Folder):
    """The steps of the job `build`."""

    def test_build(self) -> None:
        """A wheel, an sdist and an npm package of one version, with what they need and no more."""
        checkout(self.folder / "checkout")
        self.run_steps(workflow("release")["jobs"]["build"]["steps"], self.folder / "checkout")
        made = self.folder / "checkout"
        (sdist,) = (made / "dist").glob("*.tar.gz")
        (wheel,) = (made / "dist").glob("*.whl")
        (npm,) = (made / "dist-npm").glob("*.tgz")
        with tarfile.open(sdist) as archive:
            files = [member.name for member in archive if member.isfile()]
        inside = {name.partition("/")[2] for name in files}
        packages = {name for name in inside if name.startswith(("takotwist/", "twisted/"))}
        names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
        self.assertEqual(names, packages)
        self.assertIn("takotwist/static/client.js", names)
        self.assertEqual({one for one in inside if one.startswith(("tests", "docs"))}, set())
        with tarfile.open(npm) as archive:
            manifest = archive.extractfile("package/package.json")
            assert manifest is not None
            package = json.load(manifest)
            self.assertIn("package/dist/index.js", archive.getnames())
        self.assertEqual(
            package["repository"],
            {
                "type": "git",
                "url": "git+https://github.example/somebody/takotwist.git",
                "directory": "clients/js",
            },
        )

    def run_steps(self, steps: list[dict[str, Any]], folder: Path) -> None:
        """The commands, in order; actions are GitHub's."""
        for step in steps:
            if "run" in step:
                self.run_command(
                    step["run"],
                    folder / step.get("working-directory", "."),
                    GITHUB_SERVER_URL="https://github.example",
                    GITHUB_REPOSITORY="somebody/takotwist",
                    GITHUB_REF_NAME=f"v{version('takotwist')}",
                )


class PipxTests(_Folder):
    """The line of the README for who wants the command alone."""

    def test_install(self) -> None:
        """`tako` is there afterwards, and is of this version."""
        (line,) = re.findall(
            r"^ +(pipx install .*)$", (ROOT / "README.md").read_text(), re.MULTILINE
        )
        checkout(self.folder / "takotwist")
        place = shlex.quote(str(self.folder / "takotwist"))
        self.assertIn("/path/to/takotwist", line)
        self.run_command(line.replace("/path/to/takotwist", place), self.folder)
        tako = shlex.quote(str(self.folder / "bin" / "tako"))
        said = self.run_command(f"{tako} --version", self.folder)
        self.assertEqual(said, f"takotwist {version('takotwist')}\n")
        self.assertIn("drain_seconds", self.run_command(f"{tako} config-doc", self.folder))


del _Folder
