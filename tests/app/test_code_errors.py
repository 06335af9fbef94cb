"""Errors of an app's code, with the place that its author can change."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.app.code_errors import CodeError, code_error, is_of_app
from takotwist.errors import DefinitionError


class CodeErrorTests(SynchronousTestCase):
    """Code is run that goes wrong; what is said of it."""

    def said(self, code: str, reading: str = "/srv/app/channels/chat.py") -> CodeError:
        """What is said of `code`, which stands in a file of the app."""
        try:
            exec(
                compile(code, "/srv/app/helper.py", "exec"),
                {"json": json, "define": define_channel},
            )
        except BaseException as error:
            return code_error(error, reading)
        raise AssertionError("nothing went wrong")

    def test_innermost_of_the_app(self) -> None:
        """Steps through libraries and through this project are not the place."""
        for code in ("\njson.loads('{')", "\n\ndefine('chat', params=3)"):
            found = self.said(code)
            self.assertEqual(found.place, f"/srv/app/helper.py:{code.count(chr(10)) + 1}")
            self.assertIn("(read for /srv/app/channels/chat.py)", found.what)

    def test_same_file(self) -> None:
        """The file that was read is not named twice."""
        self.assertEqual(
            self.said("1/0", "/srv/app/helper.py"),
            CodeError("/srv/app/helper.py:1", "ZeroDivisionError: division by zero"),
        )

    def test_syntax(self) -> None:
        """A file that is no Python has its own line."""
        self.assertEqual(self.said("x = 1\nx = (").place, "/srv/app/helper.py:2")

    def test_missing_module(self) -> None:
        """What to do about a module that is not there names this Python."""
        self.assertIn(
            f"{sys.executable} -m pip install nothing_here)",
            self.said("import nothing_here.inside").what.partition(" (read for")[0],
        )

    def test_without_a_word(self) -> None:
        """An error that says nothing is known by its name."""
        self.assertEqual(self.said("assert False", "web:site").what, "AssertionError")

    def test_place_of_a_definition(self) -> None:
        """A definition that knows its place keeps it."""
        error = DefinitionError("is wrong", place="/srv/app/channels/chat.py:7")
        self.assertEqual(code_error(error, "x").place, "/srv/app/channels/chat.py:7")

    def test_of_the_app(self) -> None:
        """Neither Python's own files, nor installed ones, nor ours are."""
        assert json.__file__ is not None
        for file in (json.__file__, DefinitionError.__init__.__code__.co_filename, "<string>"):
            self.assertFalse(is_of_app(file), file)
        self.assertTrue(is_of_app(str(Path(__file__).resolve())))
