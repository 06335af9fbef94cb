"""Types that are written again where they have changed."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.app.discovery import Discovered
from takotwist.development.typescript import types_of, write_types
from takotwist.live.functions.function import function


@function
def add(a: int, b: int) -> int:
    return a + b


class TypesTests(SynchronousTestCase):
    """Text, and the file."""

    def test_channels_and_functions(self) -> None:
        """Both are in it, in an order that does not depend on files."""
        channels = [define_channel(name) for name in ("b", "a")]
        defined = Discovered(tuple(channels)).defined
        text = types_of(defined, {"add": add})
        self.assertIn("add", text)
        self.assertEqual(text, types_of(defined[::-1], {"add": add}))

    def test_written_once(self) -> None:
        """The same text is not written again, so no bundler runs for nothing."""
        file = Path(self.mktemp()) / "src" / "takotwist.d.ts"
        self.assertTrue(write_types(file, "one"))
        before = file.stat()
        self.assertFalse(write_types(file, "one"))
        self.assertEqual(file.stat().st_mtime_ns, before.st_mtime_ns)
        self.assertTrue(write_types(file, "two"))
        self.assertEqual([one.name for one in file.parent.iterdir()], [file.name])
        self.assertEqual(file.read_text(), "two")
