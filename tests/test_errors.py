"""The tree of refusals: its docstring, its codes and its advice agree."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from takotwist import errors
from takotwist.errors import Overloaded, RateLimited, Refusal, Retry, refusal_for

#: Rows of the tree: name, status, close code.
ROW = re.compile(r"^ +│   [├└]── (\w+) +(\d+)  (\d+)$", re.MULTILINE)


def refusals() -> list[type[Refusal]]:
    """The classes of the module that are rows of the protocol's tables."""
    return [
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, Refusal) and one is not Refusal
    ]


class RefusalTests(SynchronousTestCase):
    """Each row of the tree."""

    def test_drawn(self) -> None:
        """The picture has every refusal with its status and close code, and no other."""
        drawn = {
            (name, int(status), int(close))
            for name, status, close in ROW.findall(errors.__doc__ or "")
        }
        self.assertEqual(
            drawn, {(one.__name__, one.http_status, one.close_code) for one in refusals()}
        )

    def test_codes(self) -> None:
        """A code is one word for one refusal: that of its class, with hyphens."""
        for one in refusals():
            words = re.sub(r"(?<!^)(?=[A-Z])", "-", one.__name__).lower()
            self.assertEqual(one.code, words)

    def test_close_codes(self) -> None:
        """A WebSocket may be closed with each: registered codes, or those of applications."""
        for one in refusals():
            if one.close_code < 4000:
                self.assertIn(one.close_code, {1001, 1009, 1011, 1013})
            else:
                self.assertTrue(4000 <= one.close_code <= 4999)

    def test_advice(self) -> None:
        """New credentials are asked for at 401, and what passes by itself may be tried again."""
        for one in refusals():
            if one.http_status == 401:
                self.assertIs(one.retry, Retry.WITH_NEW_CREDENTIALS)
            if one.http_status in (429, 503):
                self.assertIs(one.retry, Retry.WITH_BACKOFF)

    def test_sentence(self) -> None:
        """Without a sentence the class's own is said; a given one is said as it is."""
        for one in refusals():
            self.assertEqual(one().sentence, one.default_sentence)
            self.assertTrue(one.default_sentence.endswith("."))
        self.assertEqual(str(Overloaded("Later.")), "Later.")

    def test_retry_after(self) -> None:
        """A given delay is that error's alone; the class keeps its default."""
        before = RateLimited.retry_after
        self.assertEqual(RateLimited(retry_after=7).retry_after, 7)
        self.assertEqual(RateLimited().retry_after, before)

    def test_from_the_wire(self) -> None:
        """A code that a server sent becomes its class again; an unknown one keeps its code."""
        for one in refusals():
            self.assertIs(type(refusal_for(one.code)), one)
        unknown = refusal_for("of-tomorrow", "Something new.")
        self.assertEqual((type(unknown), unknown.code), (Refusal, "of-tomorrow"))
        self.assertEqual(unknown.sentence, "Something new.")
        self.assertEqual(Refusal.code, "refused")
