"""Every Python example compiles, imports what exists, and defines channels that load."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.page import Block, blocks, pages, project, write_project

_LOAD = """
import sys
if sys.argv[1:] == ["django"]:
    from django.conf import settings
    settings.configure()
from takotwist.app.discovery import discover
print(*(one.name for one in discover("channels").channels))
"""


def _source(block: Block) -> str:
    """The block; signatures, as the reference has them, as functions."""
    try:
        ast.parse(block.text)
    except SyntaxError:
        signatures = block.text.strip().split("\n\n")
        if all(re.match(r"\w+\(.*\) -> .*$", one, re.DOTALL) for one in signatures):
            return "\n".join(f"def {one}: ..." for one in signatures)
    return block.text


class TestPythonBlocks(SynchronousTestCase):
    def test_compiles(self) -> None:
        """Each block is Python; `await` may stand at its top, as in a notebook."""
        found = blocks("python")
        self.assertGreater(len(found), 30)
        for block in found:
            try:
                compile(_source(block), block.place, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            except SyntaxError as wrong:
                self.fail(f"{block.place}: {wrong}")

    def test_imports(self) -> None:
        """What a block imports from this project or from Twisted is there."""
        for block in blocks("python"):
            for node in ast.walk(ast.parse(_source(block))):
                if not isinstance(node, ast.ImportFrom) or node.module is None or node.level:
                    continue
                if node.module.partition(".")[0] not in ("takotwist", "twisted", "klein"):
                    continue
                if (node.module, [one.name for one in node.names]) == (
                    "twisted.internet",
                    ["reactor"],
                ):
                    continue
                module = importlib.import_module(node.module)
                for alias in node.names:
                    self.assertTrue(
                        hasattr(module, alias.name),
                        f"{block.place}: {node.module} has no {alias.name}",
                    )

    def test_channels_load(self) -> None:
        """The channels of each page are found and loaded as the server loads them."""
        loaded = 0
        for page in pages():
            names = [name for name in project(page) if name.startswith("channels/")]
            if not names:
                continue
            with tempfile.TemporaryDirectory() as folder:
                write_project(page, Path(folder))
                framework = ["django"] if "django" in page.name else []
                done = subprocess.run(
                    [sys.executable, "-c", _LOAD, *framework],
                    cwd=folder,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                self.assertEqual(done.returncode, 0, f"{page}: {done.stderr}")
                self.assertGreaterEqual(len(done.stdout.split()), len(names))
                loaded += len(names)
        self.assertGreater(loaded, 5)
