"""What answers mean, from the shared vectors."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.errors import UnexpectedAnswer
from takotwist.client.machine.outcome import Outcome, of_close, of_code, of_status
from takotwist.errors import REFUSALS, Retry, VerifyRejected
from tests.client.vectors import VECTORS


class OutcomeTests(SynchronousTestCase):
    """A status, a close code or an error leads to one action."""

    def _check(self, outcome: Outcome, vector: dict[str, Any]) -> None:
        self.assertEqual(
            outcome.with_credentials("callable").action.value, vector["action"], vector["name"]
        )
        for kind in ("fixed", "none"):
            self.assertEqual(
                outcome.with_credentials(kind).action.value,
                vector.get(kind, vector["action"]),
                f"{vector['name']}, credentials {kind}",
            )

    def test_http(self) -> None:
        """HTTP answers, with what they say about when to come back."""
        for vector in VECTORS["http"]:
            outcome = of_status(
                vector["status"],
                vector["code"],
                retry_after=vector.get("retryAfter"),
                now_ms=vector.get("nowMs", 0),
                content_type=vector.get("contentType"),
            )
            self._check(outcome, vector)
            self.assertEqual(outcome.wait_ms or 0, vector.get("waitAtLeastMs", 0), vector["name"])

    def test_close(self) -> None:
        """WebSocket closes."""
        for vector in VECTORS["close"]:
            self._check(of_close(vector["closeCode"], vector["reason"]), vector)

    def test_topic_errors(self) -> None:
        """Errors that end one topic of many."""
        for vector in VECTORS["topicErrors"]:
            outcome = of_code(vector["code"], retry_after_ms=vector.get("retryAfterMs"))
            self._check(outcome, vector)
            self.assertEqual(outcome.wait_ms, vector.get("waitAtLeastMs"), vector["name"])

    def test_every_refusal_is_decided(self) -> None:
        """No refusal of the server is unknown to the vectors, but for its root and one of HTTP."""
        decided = {vector["code"] for vector in VECTORS["topicErrors"]}
        passing = {code for code, kind in REFUSALS.items() if kind.retry is not Retry.NEVER}
        self.assertEqual(passing - decided, set())

    def test_error(self) -> None:
        """A refusal is raised as the server's own error, anything else as unexpected."""
        refused = of_status(403, "verify-rejected", "No.").error()
        self.assertIsInstance(refused, VerifyRejected)
        self.assertEqual(str(refused), "No.")
        unexpected = of_status(200, content_type="text/html").error()
        assert isinstance(unexpected, UnexpectedAnswer)
        self.assertEqual(unexpected.code, "http-200")
        self.assertIn("text/html", str(unexpected))
