"""What is installed is what runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from twisted.trial.unittest import TestCase

ROOT = Path(__file__).parent.parent

#: The twistd command, whatever it is called here.
TWISTD = "from twisted.scripts.twistd import run; run()"


class TestWheel(TestCase):
    """A wheel, built and installed apart from the checkout."""

    timeout = 300

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        # Of a copy: a build writes into its tree, which other tests read meanwhile.
        source = self.folder / "source"
        for name in ("takotwist", "twisted"):
            shutil.copytree(
                ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        for name in ("pyproject.toml", "setup.cfg", "MANIFEST.in", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        self.run_pip("wheel", "--no-deps", "--wheel-dir", str(self.folder), str(source))
        (self.wheel,) = self.folder.glob("*.whl")

    def run_pip(self, *arguments: str) -> None:
        """Run pip, which must succeed."""
        command = [sys.executable, "-m", "pip", "--quiet", *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(ran.returncode, 0, ran.stderr)

    def test_installed(self) -> None:
        """The plugin, the schema and the scripts are in it, and twistd finds it."""
        names = zipfile.ZipFile(self.wheel).namelist()
        for wanted in (
            "twisted/plugins/takotwist_plugin.py",
            "takotwist/py.typed",
            "takotwist/adapters/sqlite/schema/001_begin.sql",
            "takotwist/static/client.js",
            "takotwist/static/client.json",
            "takotwist/templates/all/gitignore",
            "takotwist/templates/react/src/chat.tsx",
            "takotwist/templates/django/project/settings.py",
        ):
            self.assertIn(wanted, names)
        tops = {name.split("/")[0] for name in names}
        self.assertEqual(
            {top for top in tops if not top.endswith(".dist-info")}, {"takotwist", "twisted"}
        )
        target = self.folder / "installed"
        self.run_pip("install", "--no-deps", "--target", str(target), str(self.wheel))
        environment = {**os.environ, "PYTHONPATH": str(target)}
        shown = subprocess.run(
            [sys.executable, "-c", TWISTD, "tako", "--help"],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env=environment,
        )
        self.assertIn("--app-url", shown.stdout, shown.stderr)
        where = subprocess.run(
            [sys.executable, "-c", "import takotwist; print(takotwist.__file__)"],
            capture_output=True,
            text=True,
            check=True,
            cwd=self.folder,
            env=environment,
        )
        self.assertTrue(where.stdout.startswith(str(target)), where.stdout)


#: Imports every module of the package as if no extra were installed, and names those that fail.
WITHOUT_EXTRAS = """
import importlib, pkgutil, sys
EXTRAS = (
    "acme aiohttp aioquic django fastapi flask httpx josepy jwt mcp psycopg pydantic pylsqpack"
    " requests watchfiles"
)
for name in EXTRAS.split():
    sys.modules[name] = None
import takotwist
for module in pkgutil.walk_packages(takotwist.__path__, "takotwist."):
    try:
        importlib.import_module(module.name)
    except ImportError:
        print(module.name)
"""

#: Rooms and files that are of an extra, and may need it.
OF_EXTRAS = (
    "takotwist.server.acme",
    "takotwist.tls.acme.order",
    "takotwist.tls.acme.renewal",
    "takotwist.app.mcp",
    "takotwist.adapters.authorize_token",
    "takotwist.adapters.jwks",
    "takotwist.adapters.postgres",
    "takotwist.adapters.token_",
    "takotwist.server.tokens",
    "takotwist.client.asyncio",
    "takotwist.client.sync",
    "takotwist.development.watch",
    "takotwist.server.http3",
    "takotwist.server.supervisor.quic",
    "takotwist.streams.http3",
    "takotwist.streams.webtransport",
    "takotwist.transports.webtransport",
    "takotwist.transports.live.webtransport",
)


class ExtrasTests(TestCase):
    """An installation without extras, which is what the first command of the README makes."""

    def test_what_needs_one(self) -> None:
        """Only what is of an extra needs it: the server starts and serves without."""
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", WITHOUT_EXTRAS],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        failed = [name for name in ran.stdout.split() if not name.startswith(OF_EXTRAS)]
        self.assertEqual(failed, [])
        self.assertIn("takotwist.server.http3", ran.stdout.split())
