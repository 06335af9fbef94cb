"""Problems, as their author is shown them."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from takotwist.development.problem import Problem


class ProblemTests(SynchronousTestCase):
    """Sentences with a place and without."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.file = self.folder / "chat.py"
        self.file.write_text("one\ntwo\nthree\nfour\n")

    def test_place(self) -> None:
        """The file is named from the project's folder on, with the line and those before it."""
        problem = Problem.of(f"takotwist: {self.file}:4: NameError: no such thing: x\n")
        self.assertEqual((problem.file, problem.line), (self.file, 4))
        self.assertEqual(
            problem.shown(self.folder).splitlines(),
            [
                "chat.py:4: NameError: no such thing: x",
                "       2 | two",
                "       3 | three",
                "  >    4 | four",
            ],
        )

    def test_elsewhere(self) -> None:
        """A file outside the project keeps its whole path; one that is gone has no lines."""
        problem = Problem.of("/nowhere/x.py:3: wrong")
        self.assertEqual(problem.shown(self.folder), "/nowhere/x.py:3: wrong")

    def test_first_line(self) -> None:
        """The first line has none before it, and one that is no line is not shown."""
        self.assertEqual(Problem.of(f"{self.file}:1: x").excerpt(), ["  >    1 | one"])
        self.assertEqual(Problem.of(f"{self.file}:99: x").excerpt(), [])
        self.file.write_bytes(b"\xff\n")
        self.assertEqual(Problem.of(f"{self.file}:1: x").excerpt(), [])

    def test_no_place(self) -> None:
        """A sentence without a place, or several, stays as it is."""
        for text in ("app.channels: names x, which is no folder", "/p/tako.toml: is no TOML\nmore"):
            self.assertEqual(Problem.of(text).shown(self.folder), text)
            self.assertIsNone(Problem.of(text).file)
