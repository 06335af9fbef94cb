"""Functions of the app that could not be called are found when its module is read."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.app.signatures import check_takes
from takotwist.errors import DefinitionError


class CheckTakesTests(SynchronousTestCase):
    """`check_takes`."""

    def test_can_be_called(self) -> None:
        """By position, whatever the arguments are called, with defaults and the rest or not."""

        def exact(one: Any, two: Any) -> None: ...

        def more(one: Any, two: Any = None, *, three: Any = None) -> None: ...

        class Callable:
            def __call__(self, one: Any, two: Any) -> None: ...

            def method(self, one: Any, two: Any) -> None: ...

        for function in (exact, more, lambda *any: None, Callable(), Callable().method, max):
            check_takes(function, "data", "context", what="the handler")

    def test_cannot(self) -> None:
        """Too few, too many, by name only: the error says what is called with what."""

        def few(one: int) -> None: ...

        def many(one: Any, two: Any, three: Any) -> None: ...

        def by_name(one: Any, *, two: Any) -> None: ...

        for function, takes in (
            (few, "(one)"),
            (many, "(one, two, three)"),
            (by_name, "(one, *, two)"),
        ):
            error = self.assertRaises(
                DefinitionError, check_takes, function, "data", "context", what="The handler of 'a'"
            )
            self.assertEqual(
                str(error),
                f"The handler of 'a' is called with (data, context) and takes {takes}",
            )

    def test_unknown(self) -> None:
        """What does not say what it takes is left for the call to tell."""

        class Odd:
            __signature__ = "no signature"

            def __call__(self) -> None: ...

        check_takes(Odd(), "data", what="the handler")
