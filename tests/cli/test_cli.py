"""The `tako` command itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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

_COMPLETE = """
import click
found = main.shell_complete(click.Context(main), "se")
assert [one.value for one in found] == ["serve"], found
"""

#: Presses the key for completion in a bash that has read the line which the help shows.
_BASH = """
{line}
COMP_WORDS=({words}) COMP_CWORD={index} COMPREPLY=()
_tako_completion tako
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


class CompletionTests(CommandTestCase):
    """Completion in a real bash, by the line that the help shows."""

    def completed(self, *words: str) -> list[str]:
        """What may stand in the place of the last word."""
        [line] = [
            line.strip()
            for line in self.run_command("--help").output.splitlines()
            if line.strip().startswith("eval ")
        ]
        beside = str(Path(sys.executable).parent)
        done = subprocess.run(
            ["bash", "-c", _BASH.format(line=line, words=" ".join(words), index=len(words) - 1)],
            env={**os.environ, "PATH": f"{beside}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_commands(self) -> None:
        """The beginning of a command is completed to all that begin so."""
        self.assertEqual(
            self.completed("tako", "t"), [name for name in COMMANDS if name.startswith("t")]
        )

    def test_options(self) -> None:
        """Of a command its options, and of an option its values, are completed."""
        self.assertEqual(self.completed("tako", "trust", "--re"), ["--remove"])
        self.assertEqual(self.completed("tako", "serve", "--log-format", "j"), ["json"])

    def test_quick(self) -> None:
        """Completing a command's name reads no command's file, and so no reactor either."""
        program = _PROGRAM.replace('main(["--help"], standalone_mode=False)', _COMPLETE)
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""))


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
