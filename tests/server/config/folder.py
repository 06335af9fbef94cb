"""A folder with a configuration in it, for the tests of reading one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config import Config, ConfigProblems, load_config


class FolderTestCase(SynchronousTestCase):
    """A test that writes files and reads the configuration that they make."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)

    def write(self, name: str, text: str, mode: int = 0o600) -> Path:
        """Write a file of the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.chmod(path, mode)
        return path

    def load(
        self,
        toml: str | None = None,
        flags: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        running: Config | None = None,
    ) -> Config:
        """The configuration, of `toml` as ``tako.toml`` where it is given."""
        if toml is not None:
            self.write("tako.toml", toml)
        return load_config(flags or {}, environ or {}, self.folder, running)

    def problems(
        self,
        toml: str | None = None,
        flags: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        running: Config | None = None,
    ) -> list[str]:
        """What is wrong, the folder's path left out of it."""
        error = self.assertRaises(ConfigProblems, self.load, toml, flags, environ, running)
        return [line.replace(f"{self.folder}/", "") for line in str(error).splitlines()]
