"""From URL segments to names: what is refused before anything is looked up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.files.path import Inside, Refused, resolve


class Resolve(SynchronousTestCase):
    """F9: names inside, and everything else."""

    def test_names(self) -> None:
        """Plain names are joined; a slash at the end asks for a folder."""
        for segments, relative, is_folder in (
            *(([], b"", False), ([b""], b"", True), ([b"a"], b"a", False)),
            *(([b"a", b"b c.txt"], b"a/b c.txt", False), ([b"a", b""], b"a", True)),
            *(([b"a%2e"], b"a%2e", False), ([b"\xc3\xbc"], b"\xc3\xbc", False)),
            ([b".well-known", b"x"], b".well-known/x", False),
        ):
            self.assertEqual(resolve(segments), Inside(relative, is_folder), segments)

    def test_refused(self) -> None:
        """F9: dots, slashes, backslashes, NUL, controls, dot files, drives, empty names."""
        for segment in (
            *(b".", b"..", b".git", b".env", b"...", b"a/b", b"../x", b"/etc", b"a\\b", b"..\\"),
            *(b"\\", b"a\x00", b"a\nb", b"\x7f", b"x" * 256),
        ):
            self.assertIsInstance(resolve([segment]), Refused, segment)
            self.assertIsInstance(resolve([b"a", segment, b"b"]), Refused, segment)
        for segments in (
            *([b"", b"etc", b"passwd"], [b"a", b"", b"b"], [b"", b""], [b"C:", b"x"]),
            *([b"a", b".well-known"], [b".well-known", b".x"], [b"x" * 250] * 20),
        ):
            self.assertIsInstance(resolve(segments), Refused, segments)

    @given(st.lists(st.binary(max_size=8), max_size=5))
    def test_any_segments(self, segments: list[bytes]) -> None:
        """Whatever is asked, a name that is let through goes down only."""
        found = resolve(segments)
        if isinstance(found, Inside):
            self.assertFalse(found.relative.startswith(b"/"))
            self.assertNotIn(b"\x00", found.relative)
            parts = found.relative.split(b"/") if found.relative else []
            self.assertFalse({b"", b".", b".."} & set(parts))
