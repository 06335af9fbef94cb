"""What a client is told of a failure."""

from __future__ import annotations

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import InternalError, RateLimited
from takotwist.flow.refusal import refusal_of


class RefusalTests(SynchronousTestCase):
    """`refusal_of`."""

    def test_refusal(self) -> None:
        """A refusal is told as it is, and is nothing for the log."""
        limited = RateLimited(retry_after=3)
        self.assertIs(refusal_of(Failure(limited), Logger(), "never said"), limited)

    def test_unexpected(self) -> None:
        """Anything else is logged, and the client learns nothing of it."""
        said: list[dict[str, object]] = []
        logger = Logger("test", observer=said.append)  # type: ignore[arg-type]
        broken = Failure(ValueError("the password is 12345"))
        refusal = refusal_of(broken, logger, "answering {path} failed", path="/a")
        self.assertIsInstance(refusal, InternalError)
        self.assertNotIn("12345", refusal.sentence)
        self.assertEqual([(one["log_failure"], one["path"]) for one in said], [(broken, "/a")])
