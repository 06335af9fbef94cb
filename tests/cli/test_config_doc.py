"""`tako config-doc`: every key, from its declaration."""

from __future__ import annotations

import tomllib

from tests.cli.command import CommandTestCase


class ConfigDocTests(CommandTestCase):
    """What is printed."""

    def test_text(self) -> None:
        """A key has its meaning, its kind, its default and its name in the environment."""
        done = self.run_command("config-doc")
        self.assertEqual(done.exit_code, 0)
        for words in ("outbox_bytes", "TAKO_LIMITS_OUTBOX_BYTES", "262144", "(bytes)"):
            self.assertIn(words, done.output)

    def test_markdown(self) -> None:
        """A page has a heading for each section."""
        done = self.run_command("config-doc", "--format", "markdown")
        self.assertIn("## `[limits]`", done.output)

    def test_toml_is_a_configuration(self) -> None:
        """The printed file can be used at once."""
        done = self.run_command("config-doc", "--format", "toml")
        tomllib.loads(done.output)
        self.write("tako.toml", done.output)
        self.assertEqual(self.run_command("check-config").exit_code, 0)

    def test_unknown_format(self) -> None:
        """A form that does not exist is an error of usage."""
        self.assertEqual(self.run_command("config-doc", "--format", "pdf").exit_code, 2)
