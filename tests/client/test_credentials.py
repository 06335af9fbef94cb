"""Credentials of a caller: their kind, and how they go out without being repeated anywhere."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.credentials import headers_of, kind_of, token_of, unavailable, value_of
from takotwist.client.errors import NoAnswer
from takotwist.client.machine.outcome import Action

SECRET = "s3cret"


class KindTests(SynchronousTestCase):
    """What there is to offer after a refusal."""

    def test_kinds(self) -> None:
        """Nothing, the same again, or what a callable gives anew."""
        self.assertEqual(kind_of(None), "none")
        self.assertEqual(kind_of(SECRET), "fixed")
        self.assertEqual(kind_of({"cookie": SECRET}), "fixed")
        self.assertEqual(kind_of(lambda: SECRET), "callable")

    def test_value(self) -> None:
        """A callable is asked each time; what is fixed is given as it is, and asks nobody."""
        asked: list[Any] = []

        async def ask(function: Any) -> Any:
            asked.append(function)
            return function()

        count = iter(["a", "b"])
        given = [
            self.successResultOf(ensureDeferred(value_of(credentials, ask)))
            for credentials in (None, SECRET, lambda: next(count), lambda: next(count))
        ]
        self.assertEqual(given, [None, SECRET, "a", "b"])
        self.assertEqual(len(asked), 2)

    def test_unavailable(self) -> None:
        """It is tried again; an error of the app's is not repeated, one of ours is."""
        for error, sentence in (
            (ValueError(SECRET), "The credentials could not be had."),
            (NoAnswer("It took too long."), "It took too long."),
        ):
            outcome = unavailable(error)
            self.assertEqual((outcome.action, outcome.sentence), (Action.BACKOFF, sentence))


class HeadersTests(SynchronousTestCase):
    """As headers of a request."""

    def test_forms(self) -> None:
        """A text goes into the header that is named; several are several."""
        self.assertEqual(headers_of(None, "authorization"), {})
        self.assertEqual(headers_of(SECRET, "x-key"), {"x-key": SECRET})
        several = {"cookie": "a=1", "x-key": SECRET}
        self.assertEqual(headers_of(several, "authorization"), several)

    def test_white_space(self) -> None:
        """What stands around it, as in a file, is no part of it."""
        self.assertEqual(headers_of(f" {SECRET}\n", "x-key"), {"x-key": SECRET})

    def test_cannot_be_sent(self) -> None:
        """What would split a head, or is no text, is an error that has the name alone."""
        wrong: Any
        for wrong in (f"{SECRET}\r\nX-Evil: 1", f"{SECRET}\0", 5, None):
            error = self.assertRaises(ValueError, headers_of, {"x-key": wrong}, "authorization")
            self.assertIn("x-key", str(error))
            self.assertNotIn(SECRET, str(error))

    def test_names(self) -> None:
        """A name that cannot be one is not repeated: it may be the value, given as the name."""
        name: Any
        for name in (f"Bearer {SECRET}", "", "a:b", "x" * 129, "ä", 5):
            error = self.assertRaises(ValueError, headers_of, {name: "x"}, "authorization")
            self.assertNotIn(SECRET, str(error))


class TokenTests(SynchronousTestCase):
    """As the text of a frame."""

    def test_one_text(self) -> None:
        """One text or nothing; headers have no place in a frame."""
        self.assertIsNone(token_of(None))
        self.assertEqual(token_of(f"{SECRET}\n"), SECRET)
        self.assertRaises(ValueError, token_of, {"x-key": SECRET})
        error = self.assertRaises(ValueError, token_of, f"{SECRET}\0")
        self.assertNotIn(SECRET, str(error))
