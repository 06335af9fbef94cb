"""The `tako` command itself."""

from __future__ import annotations

import subprocess
import sys

from takotwist.cli import COMMANDS
from tests.cli.command import CommandTestCase

_PROGRAM = """
import sys
from takotwist.cli import main
main(["--help"], standalone_mode=False)
loaded = {"twisted.internet.reactor", "klein"} | {
    name for name in sys.modules if name.startswith("takotwist.cli.")
}
sys.exit(bool(loaded & set(sys.modules)))
"""


class TakoTests(CommandTestCase):
    """Its help, its list, its mistakes."""

    def test_help(self) -> None:
        """Every subcommand is in the list, with its sentence."""
        done = self.run_command("--help")
        self.assertEqual(done.exit_code, 0)
        for name, (_, sentence) in COMMANDS.items():
            self.assertIn(name, done.output)
            self.assertIn(sentence.split()[0], done.output)

    def test_help_of_each(self) -> None:
        """Each subcommand is there, and its help has examples."""
        for name in COMMANDS:
            done = self.run_command(name, "--help")
            self.assertEqual(done.exit_code, 0, name)
            self.assertIn("Usage: ", done.output)

    def test_help_loads_no_subcommand_and_no_reactor(self) -> None:
        """Asking for help is quick, and leaves the choice of the reactor open."""
        done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_version(self) -> None:
        """The version is that of the package."""
        self.assertRegex(self.run_command("--version").output, r"^takotwist \d+\.\d+")

    def test_unknown(self) -> None:
        """A subcommand that does not exist is an error of usage."""
        done = self.run_command("srve")
        self.assertEqual(done.exit_code, 2)
        self.assertIn("No such command 'srve'", done.output)
