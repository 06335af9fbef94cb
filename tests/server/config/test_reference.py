"""The printed reference is complete, and its file is a configuration."""

from __future__ import annotations

import re

from takotwist.server.config import KEYS
from takotwist.server.config.channel import CHANNEL_KEYS
from takotwist.server.config.pusher import APP_KEYS, MAP_KEYS
from takotwist.server.config.reference import as_markdown, as_text, as_toml
from tests.server.config.folder import FolderTestCase


class ReferenceTests(FolderTestCase):
    """What `tako config-doc` prints."""

    def test_every_key_is_in_every_form(self) -> None:
        """No key can be added and forgotten here."""
        text, markdown, toml = as_text(), as_markdown(), as_toml()
        tables = [*APP_KEYS.values(), *MAP_KEYS.values(), *CHANNEL_KEYS.values()]
        for key in [*KEYS.values(), *tables]:
            self.assertIn(f"\n  {key.name}\n", text)
            self.assertIn(f"### `{key.name}`", markdown)
            self.assertIn(f"#{key.name} = ", toml)
        for key in KEYS.values():
            self.assertIn(key.environment, text)

    def test_file_to_begin_with(self) -> None:
        """The printed file, as it is, is a configuration that says nothing."""
        config = self.load(as_toml())
        self.assertEqual(config.sources, {})

    def test_file_with_every_default(self) -> None:
        """With its marks taken off, each key that has a plain default says that default."""
        toml = re.sub(
            r"(?m)^#(\w+ = (?!\"\"|\{\}).+)$", r"\1", as_toml().split("# [pusher.apps")[0]
        )
        config = self.load(toml)
        defaults = [key for key in KEYS.values() if key.dotted in config.sources]
        self.assertGreater(len(defaults), 40)
        for key in defaults:
            if not key.setting.derived:
                self.assertEqual(config.value(key), key.default, key.dotted)

    def test_meanings_are_sentences(self) -> None:
        """Each meaning ends as a sentence does, and each number has a unit."""
        for key in [*KEYS.values(), *CHANNEL_KEYS.values()]:
            self.assertRegex(key.setting.meaning, r"[.?]$", key.dotted)
            if key.setting.kind.word in ("number", "whole number"):
                self.assertTrue(key.setting.unit, key.dotted)
