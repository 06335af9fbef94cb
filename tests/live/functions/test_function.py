"""Functions for pages are found where the app keeps them, or it is said what is wrong."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import DefinitionError
from takotwist.live.functions.function import discover_functions

_number = count(1)

ECHO = """
from takotwist.live import function

@function
async def on_echo(text: str) -> str:
    return text
"""


class DiscoverTests(SynchronousTestCase):
    """Folders of files."""

    def folder(self, **files: str) -> Path:
        """A folder with these modules."""
        folder = Path(self.mktemp()) / f"live_functions_{next(_number)}"
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)
        return folder.resolve()

    def test_found(self) -> None:
        """By their names on the wire; a helper whose name begins so is left alone."""
        folder = self.folder(echo=ECHO, _help="x = 1", more=ECHO.replace("echo", "more"))
        self.assertEqual(list(discover_functions(folder)), ["onEcho", "onMore"])

    def test_wrong(self) -> None:
        """Twice the same name, a file with none, a parameter that no page can give."""
        for files, words in (
            ({"a": ECHO, "b": ECHO}, ("function 'onEcho' is already defined in", "a.py")),
            ({"a": "x = 1"}, ("defines no function for pages", "@function", "a.py")),
            ({"a": ECHO.replace("text: str", "*text: str")}, ("declared arguments", "a.py")),
        ):
            with self.subTest(words=words):
                wrong = self.assertRaises(DefinitionError, discover_functions, self.folder(**files))
                for word in words:
                    self.assertIn(word, str(wrong))

    def test_module_without(self) -> None:
        """A module that is named must define one."""
        self.assertRaises(DefinitionError, discover_functions, "json.tool")
