"""The page of the Python API names what there is, and all that is public."""

from __future__ import annotations

import importlib
import inspect
import re

from twisted.trial.unittest import SynchronousTestCase

import takotwist
from tests.docs.api_page import MODULES
from tests.docs.page import DOCS

PAGE = (DOCS / "reference" / "python-api.md").read_text()
DOCSTRINGS = (DOCS / "reference" / "python-docstrings.md").read_text()


class TestPythonApi(SynchronousTestCase):
    def test_public_names(self) -> None:
        """Every public name of the package is on the page."""
        for name in takotwist.__all__:
            self.assertRegex(PAGE, rf"`{name}\b", name)

    def test_named(self) -> None:
        """Every name in the tables can be imported."""
        count = 0
        for row in re.findall(r"^\| (`takotwist\.[^|]+) \|", PAGE, re.MULTILINE):
            module = ""
            for dotted in re.findall(r"`([\w.]+)`", row):
                if dotted.startswith("takotwist."):
                    try:
                        importlib.import_module(dotted)
                        module, name = dotted, ""
                    except ModuleNotFoundError:
                        module, _, name = dotted.rpartition(".")
                else:
                    name = dotted
                if name:
                    found = importlib.import_module(module)
                    self.assertTrue(hasattr(found, name), f"{module} has no {name}")
                count += 1
        self.assertGreater(count, 20)

    def test_docstrings(self) -> None:
        """Whatever is public says what it is; the page of docstrings is made of that."""
        for name in MODULES:
            module = importlib.import_module(name)
            for public in module.__all__:
                found = getattr(module, public)
                if inspect.isclass(found) or inspect.isfunction(found):
                    self.assertTrue(inspect.getdoc(found), f"{name}.{public}")
                    self.assertIn(f"### `{public}`\n\n```text\n{public}", DOCSTRINGS)

    def test_define_channel(self) -> None:
        """The arguments of `define_channel` are those of the page."""
        text = re.search(r"```python\n(define_channel\(.*?)```", PAGE, re.DOTALL)
        assert text
        shown = re.findall(r"(\w+)=", text[1])
        real = inspect.signature(takotwist.define_channel).parameters
        self.assertEqual(["name", *shown], list(real))
