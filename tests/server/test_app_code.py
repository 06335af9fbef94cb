"""Definitions, as the configuration names them."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import DefinitionError
from takotwist.server.app_code import read_channels, read_functions
from takotwist.server.config import App, Config
from tests.modules import forget_modules


class AppCodeTests(SynchronousTestCase):
    """Folders that are there, and that are not."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.patch(sys, "path", [*sys.path])
        self.addCleanup(forget_modules, self.folder)

    def test_none(self) -> None:
        """Without a source there are none."""
        self.assertEqual(read_channels(Config()).channels, ())
        self.assertEqual(read_functions(Config()), {})

    def test_missing(self) -> None:
        """What is not there is said with the key, and with the file where it stands in one."""
        config = Config(app=App(channels="no_such_a", functions="no_such_b"))
        for read, key in ((read_channels, "app.channels"), (read_functions, "app.functions")):
            bad = self.assertRaises(DefinitionError, read, config)
            self.assertRegex(str(bad), f"^{key}: there is no folder and no module .*: make it")
        said = Config(app=App(channels="no_such_a"), sources={"app.channels": "/p/tako.toml"})
        bad = self.assertRaises(DefinitionError, read_channels, said)
        self.assertTrue(str(bad).startswith("/p/tako.toml: app.channels: there is no"), str(bad))

    def test_place_of_its_own(self) -> None:
        """What is wrong in a file keeps the file and the line."""
        definitions = self.folder / f"definitions_{id(self)}"
        definitions.mkdir()
        (definitions / "a.py").write_text("\n1 / 0")
        config = Config(app=App(channels=definitions))
        bad = self.assertRaises(DefinitionError, read_channels, config)
        self.assertEqual(bad.place, f"{definitions.resolve()}/a.py:2")
