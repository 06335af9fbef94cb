"""The source itself: how long its files are, what holds each, and how much has no known type.

The figures are those of the day on which they were last lowered, with a little room for a change
while it is made.  They are never raised.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "takotwist"

#: Lines of a file; past these it has more than one concept.
MOST_LINES = 400

#: Uses of `Any`, comments that silence mypy, and casts.
MOST_ANY, MOST_IGNORED, MOST_CASTS = 303, 19, 22


def sources() -> Iterator[Path]:
    """The modules of the package, but for those that `tako init` copies."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if "templates" not in path.relative_to(PACKAGE).parts:
            yield path


#: Rooms that decide and do nothing else: each of their modules is tested by itself.
PURE = ("core", "codecs", "client/machine", "live/machine", "facades")


def pure_sources() -> Iterator[Path]:
    """Modules of pure rooms that have a function; the others are types alone."""
    for path in sources():
        room = str(path.parent.relative_to(PACKAGE))
        if path.name == "__init__.py" or not room.startswith(PURE):
            continue
        if any(_does_something(node) for node in ast.walk(ast.parse(path.read_text()))):
            yield path


def _does_something(node: ast.AST) -> bool:
    """`False` for what an interface declares: a docstring, or ``...``."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return not all(
        isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant) for one in node.body
    )


def client_sources() -> Iterator[Path]:
    """The modules of the JavaScript client."""
    for path in sorted((ROOT / "clients" / "js" / "src").rglob("*")):
        if path.suffix in {".ts", ".tsx", ".js"}:
            yield path


def names_used(text: str) -> Iterator[str]:
    """Each name in the code of a module, but for its imports; and each comment."""
    imported: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imported.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT or (
            token.type == tokenize.NAME and token.start[0] not in imported
        ):
            yield token.string


class LengthTests(SynchronousTestCase):
    """A file is read in one sitting."""

    def test_python(self) -> None:
        """No module of the package has more lines."""
        self.assertEqual(self._too_long(list(sources())), {})

    def test_javascript(self) -> None:
        """No module of the JavaScript client has more lines."""
        self.assertEqual(self._too_long(list(client_sources())), {})

    def _too_long(self, paths: list[Path]) -> dict[str, int]:
        self.assertGreater(len(paths), 10)
        lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in paths}
        return {path: count for path, count in lines.items() if count > MOST_LINES}


class NamesTests(SynchronousTestCase):
    """What holds a file is found by its name."""

    def test_pure(self) -> None:
        """Each file of a pure room has the test file of its name."""
        paths = [path.relative_to(PACKAGE) for path in pure_sources()]
        self.assertGreater(len(paths), 70)
        wanted = {ROOT / "tests" / path.parent / f"test_{path.name}" for path in paths}
        missing = {str(path.relative_to(ROOT)) for path in wanted if not path.exists()}
        self.assertEqual(missing, set())


class TypesTests(SynchronousTestCase):
    """mypy sees what it is shown."""

    def test_not_less_is_known(self) -> None:
        """There are no more of `Any`, of `cast` and of silenced errors than there were."""
        texts = [path.read_text() for path in sources()]
        # To take all of them apart would take seconds.
        counted = [one for one in texts if any(word in one for word in ("Any", "cast", "ignore"))]
        names = [name for text in counted for name in names_used(text)]
        self.assertLessEqual(names.count("Any"), MOST_ANY)
        self.assertLessEqual(names.count("cast"), MOST_CASTS)
        ignored = [name for name in names if "type: ignore" in name]
        self.assertLessEqual(len(ignored), MOST_IGNORED)

    def test_counted(self) -> None:
        """An annotation counts, an import and a text do not."""
        text = 'from typing import Any\n\nx: dict[str, Any] = {}  # type: ignore[a]\ny = "Any"\n'
        names = list(names_used(text))
        self.assertEqual(names.count("Any"), 1)
        self.assertIn("# type: ignore[a]", names)
