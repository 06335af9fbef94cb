"""Every section of the configuration has fitting defaults and a sentence for each key."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config import KEYS, SECTIONS
from takotwist.server.config.kind import Unfit


class SectionsTests(SynchronousTestCase):
    """Every section."""

    def test_defaults_fit(self) -> None:
        """A default, as text of TOML would bring it, passes its own type."""
        for key in KEYS.values():
            if isinstance(key.default, int | float | str):
                try:
                    read = key.setting.kind.read(key.default, Path())
                except Unfit as unfit:
                    self.fail(f"{key.dotted}: {unfit}")
                self.assertEqual(read, key.default, key.dotted)

    def test_meanings(self) -> None:
        """Every key has a sentence, and every section."""
        for key in KEYS.values():
            self.assertRegex(key.setting.meaning, r"^[A-Z`\"].*[.!]$", key.dotted)
        for section in SECTIONS.values():
            self.assertTrue((section.__doc__ or "").strip().split("\n\n")[0].endswith("."))
