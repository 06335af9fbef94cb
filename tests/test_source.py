"""The source itself: how long its files are, what holds each, and how much has no known type.

The figures are those of the day on which they were last lowered, with a little room for a change
while it is made.  They are never raised.
"""

from __future__ import annotations

import ast
import io
import os
import re
import tokenize
from collections.abc import Collection, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "takotwist"

#: Lines of a file; past these it has more than one concept.
MOST_LINES = 400

#: Uses of `Any`, comments that silence mypy, and casts.
MOST_ANY, MOST_IGNORED, MOST_CASTS = 298, 19, 22

#: Words that no docstring begins with.
QUESTIONS = {"What", "Whether", "Who", "Whose", "How", "Where", "When", "Which"}


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


def module_name(path: Path) -> str:
    """The name by which others import a module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(text: str, known: Collection[str]) -> Iterator[str]:
    """The modules that a module names, also for types alone and in a function."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            for one in node.names:
                submodule = f"{node.module}.{one.name}"
                yield submodule if submodule in known else node.module or ""
        elif isinstance(node, ast.Import):
            yield from (one.name for one in node.names)


def client_imports(path: Path, text: str) -> Iterator[Path]:
    """The modules of the JavaScript client that a module names, also for types alone.

    Without suffixes: an import says ``.js`` of what is ``.ts`` here.
    """
    for name in re.findall(r"""(?:from|import)\s*\(?\s*["'](\.[^"']+)["']""", text):
        yield (path.parent / name).with_suffix("")


def circle(needs: Mapping[str, set[str]]) -> str:
    """One circle of modules that need each other; empty where there is none."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return " > ".join(error.args[1])
    return ""


def docstrings(text: str) -> Iterator[str]:
    """The first words of each docstring of a module."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, documented) and (said := ast.get_docstring(node)):
            yield said.splitlines()[0]


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


class CirclesTests(SynchronousTestCase):
    """A module is understood by what lies below it."""

    def test_python(self) -> None:
        """No module needs itself to be read, by any way, not even for a type."""
        texts = {module_name(path): path.read_text() for path in sources()}
        self.assertGreater(len(texts), 400)
        needs = {
            name: {one for one in imports(text, texts) if one in texts} - {name}
            for name, text in texts.items()
        }
        self.assertEqual(circle(needs), "")

    def test_javascript(self) -> None:
        """Nor does one of the JavaScript client."""
        texts = {path: path.read_text() for path in client_sources()}
        known = {path.with_suffix("") for path in texts}
        needs = {
            str(path.with_suffix("")): {
                str(one)
                for each in client_imports(path, text)
                if (one := Path(os.path.normpath(each))) in known
            }
            for path, text in texts.items()
        }
        self.assertGreater(sum(map(len, needs.values())), 100)
        self.assertEqual(circle(needs), "")

    def test_found(self) -> None:
        """An import counts where it is for types alone, in a function, or of a module by name."""
        text = (
            "from takotwist import errors\n"
            "if TYPE_CHECKING:\n    from takotwist.ports import IClock\n"
            "def late():\n    import takotwist.states\n"
        )
        known = {"takotwist", "takotwist.errors", "takotwist.ports", "takotwist.states"}
        self.assertEqual(set(imports(text, known)), known - {"takotwist"})
        self.assertEqual(circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}), "b > c > b")
        self.assertEqual(circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}), "")


class WordsTests(SynchronousTestCase):
    """A docstring begins with a noun or a verb: a relative clause has to be translated back."""

    def test_first(self) -> None:
        """None of the package, its benchmarks or its examples begins with a question word."""
        folders = (ROOT / "benchmarks", ROOT / "examples")
        others = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
        self.assertGreater(len(others), 50)
        found = [
            f"{path.relative_to(ROOT)}: {first}"
            for path in [*sources(), *others]
            if "node_modules" not in path.parts
            for first in docstrings(path.read_text())
            if first.split()[0] in QUESTIONS
        ]
        self.assertEqual(found, [])


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
