"""Every command line of ours that a page shows is one that our programs take."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
from twisted.trial.unittest import SynchronousTestCase

from takotwist.cli import main
from takotwist.server.options import Options
from tests.docs.page import Block, blocks

_PREFIX = re.compile(r"^(?:\w+=\S+\s+|sudo\s+|exec\s+|(?:\S*/)?\.venv/bin/|/opt/[\w/.-]*/bin/)+")


def commands(block: Block) -> Iterator[list[str]]:
    """The command lines of a block, continued lines joined, pipes cut."""
    for line in block.text.replace("\\\n", " ").splitlines():
        try:
            words = shlex.split(_PREFIX.sub("", line.strip()), comments=True)
        except ValueError:
            # Inside of a text over several lines.
            continue
        command: list[str] = []
        for word in [*words, "|"]:
            if word in ("|", "&", "&&", ";", ">", "2>", "<"):
                if command:
                    yield command
                command = []
            else:
                command.append(word)


class TestShellBlocks(SynchronousTestCase):
    def test_tako(self) -> None:
        """`tako` has these subcommands and options."""
        count = 0
        for block in blocks("sh"):
            for name, *words in commands(block):
                if name != "tako":
                    continue
                count += 1
                try:
                    self._parse(words)
                except click.exceptions.Exit as shown:
                    self.assertEqual(shown.exit_code, 0, block.place)
                except click.ClickException as wrong:
                    self.fail(f"{block.place}: tako {' '.join(words)}: {wrong.format_message()}")
        self.assertGreater(count, 10)

    def _parse(self, words: list[str]) -> None:
        command: click.Command = main
        # What a subcommand takes depends on its parents: commands remember their help option.
        context = click.Context(main, info_name="tako", **main.context_settings)
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            below = command.get_command(context, words[0])
            if below is None:
                raise click.UsageError(f"there is no {words[0]!r}")
            command, words = below, words[1:]
            if isinstance(command, click.Group):
                context = click.Context(command, parent=context)
        command.make_context("tako", words, parent=context if command is not main else None)

    def test_twistd(self) -> None:
        """`twistd tako` has these options."""
        count = 0
        for block in blocks("sh"):
            for name, *words in commands(block):
                if name != "twistd" or "tako" not in words:
                    continue
                count += 1
                Options().parseOptions(words[words.index("tako") + 1 :])
        self.assertGreaterEqual(count, 3)
