"""What is wrong with a configuration, all at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import ConfigError
from takotwist.server.config.problems import Collected, ConfigProblems, did_you_mean


class CollectedTests(SynchronousTestCase):
    """Problems, in the order in which they were found."""

    def test_none(self) -> None:
        """Without problems nothing is raised."""
        Collected().raise_if_any(lambda problem: None)

    def test_all_at_once(self) -> None:
        """One line a problem; the exception is also the first of them."""
        found = Collected()
        found.add("must be a number", key="limits.max_body", source="tako.toml")
        found.add("is not known", key="htpp", source="tako.toml")
        error = self.assertRaises(ConfigProblems, found.raise_if_any, lambda problem: None)
        self.assertIsInstance(error, ConfigError)
        self.assertEqual((error.key, error.source), ("limits.max_body", "tako.toml"))
        first, second = str(error).splitlines()
        for words in ("tako.toml", "limits.max_body", "must be a number"):
            self.assertIn(words, first)
        self.assertIn("htpp", second)

    def test_lines(self) -> None:
        """A problem whose line is known names it behind its source."""
        found = Collected()
        found.add("is odd", key="a", source="tako.toml")
        found.add("is odd", key="b", source="environment")
        lines = {"a": 7, "b": None}
        error = self.assertRaises(
            ConfigProblems, found.raise_if_any, lambda problem: lines[problem.key or ""]
        )
        self.assertEqual(str(error), "tako.toml:7: a: is odd\nenvironment: b: is odd")

    def test_twice(self) -> None:
        """The same problem is told once; of another key or source it is another one."""
        found = Collected()
        for key, source in (("a", "x"), ("a", "x"), ("b", "x"), ("a", "y")):
            found.add("is wrong", key=key, source=source)
        self.assertEqual(len(found.problems), 3)


class DidYouMeanTests(SynchronousTestCase):
    """A hint for a word that is nearly right."""

    def test_near(self) -> None:
        """The nearest known word; nothing where none is near."""
        self.assertEqual(did_you_mean("htpp", ["http", "limits"]), " (did you mean 'http'?)")
        self.assertEqual(did_you_mean("xyzzy", ["http", "limits"]), "")
        self.assertEqual(did_you_mean("http", []), "")

    @given(st.text(max_size=8), st.sets(st.text(max_size=8), max_size=5))
    def test_only_known_words(self, word: str, known: set[str]) -> None:
        """It never suggests what is not there, and does not depend on the order of a set."""
        said = did_you_mean(word, known)
        self.assertIn(said, ["", *(f" (did you mean {one!r}?)" for one in known)])
        self.assertEqual(said, did_you_mean(word, sorted(known, reverse=True)))
