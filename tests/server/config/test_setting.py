"""Declarations of keys."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config.kind import Text, Whole
from takotwist.server.config.setting import Setting, keys_of, setting


@attrs.frozen(kw_only=True)
class Section:
    """Two keys, and something that is none."""

    size: int = setting(Whole(1, 9), 3, "The size.", unit="bytes", live=True)
    key: str | None = setting(Text(), None, "The key.", secret=True)
    folder: str = "here"


class SettingTests(SynchronousTestCase):
    """What follows from one declaration."""

    def test_keys(self) -> None:
        """The declared fields in their order, with all that was said of them."""
        size, key = keys_of(Section, "box")
        self.assertEqual((size.section, size.name, size.default), ("box", "size", 3))
        self.assertEqual(
            size.setting, Setting(kind=Whole(1, 9), meaning="The size.", unit="bytes", live=True)
        )
        self.assertEqual((key.name, key.default, key.setting.secret), ("key", None, True))

    def test_names(self) -> None:
        """The names for errors and for the environment, at the top of the file too."""
        names = [(one.dotted, one.environment) for one in (keys_of(Section, "box"))]
        self.assertEqual(names, [("box.size", "TAKO_BOX_SIZE"), ("box.key", "TAKO_BOX_KEY")])
        top = keys_of(Section, "")[0]
        self.assertEqual((top.dotted, top.environment), ("size", "TAKO_SIZE"))

    def test_value(self) -> None:
        """A section is made as any class of attrs; a secret is in no repr."""
        section = Section(key="hush")
        self.assertEqual((section.size, section.key), (3, "hush"))
        self.assertIn("size=3", repr(section))
        self.assertNotIn("hush", repr(section))
