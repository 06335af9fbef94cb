"""The `tako` command in a folder of its own, for the tests of its subcommands."""

from __future__ import annotations

import os
from pathlib import Path

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from takotwist.cli import main


class CommandTestCase(SynchronousTestCase):
    """A test that calls `tako` as a shell would."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        here = os.getcwd()
        os.chdir(self.folder)
        self.addCleanup(os.chdir, here)

    def write(self, name: str, text: str) -> None:
        """Write a file of the folder."""
        (self.folder / name).write_text(text)

    def run_command(self, *arguments: str, **environ: str) -> Result:
        """``tako`` with these arguments, and no variable of ours but these."""
        env: dict[str, str | None] = {name: None for name in os.environ if name.startswith("TAKO_")}
        env |= {"XDG_DATA_HOME": str(self.folder / "data"), **environ}
        return CliRunner().invoke(main, list(arguments), env=env)
