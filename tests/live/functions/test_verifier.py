"""Who calls a function: asked of the app, whose failures say nothing about anybody."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from takotwist.app.calls import Reject
from takotwist.app.types import VerifyRequest
from takotwist.core.authorization import Grant
from takotwist.errors import AuthUnavailable, CredentialsMissing, Overloaded, VerifyRejected
from takotwist.live.functions.function import Verification
from takotwist.live.functions.verifier import Verifier
from takotwist.trampoline import drive

SECRET = "s3cret"


class VerifierTests(SynchronousTestCase):
    """`Verifier.subject_of`."""

    def setUp(self) -> None:
        self.runs: list[tuple[str, str]] = []
        self.asked: list[VerifyRequest[Any]] = []
        self.left = False

        async def run(name: str, address: str, function: Any) -> Any:
            self.runs.append((name, address))
            result = function()
            return await result if hasattr(result, "__await__") else result

        self.verifier = Verifier(run)

    def ask(
        self,
        answer: Any,
        header: str | None = "authorization",
        cookie: str | None = None,
        said: str | None = f"Bearer {SECRET}",
        baked: str | None = None,
    ) -> Deferred[str | None]:
        """Ask, where the app answers `answer` or raises it."""

        def verify(request: VerifyRequest[Any]) -> Any:
            self.asked.append(request)
            if isinstance(answer, BaseException):
                raise answer
            return answer

        verification = Verification("onTest", verify, header, cookie)
        return ensureDeferred(
            self.verifier.subject_of(
                verification,
                {"authorization": said}.get,
                {"session": baked}.get,
                "192.0.2.7",
                lambda: self.left,
            )
        )

    def test_subject(self) -> None:
        """It is what the app says: a grant's, a mapping's, or none for a plain yes."""
        for answer, subject in (
            (Grant(subject="ann"), "ann"),
            ({"subject": "bob"}, "bob"),
            (True, None),
        ):
            self.assertEqual(self.successResultOf(self.ask(answer)), subject)

    def test_asked(self) -> None:
        """The app is told function, operation and credentials, and asked in the caller's turn."""
        self.successResultOf(self.ask(True))
        [request] = self.asked
        self.assertEqual((request.channel, request.operation), ("onTest", "call"))
        assert request.header is not None
        self.assertEqual((request.header.scheme, request.header.value), ("Bearer", SECRET))
        self.assertEqual(self.runs, [("onTest", "192.0.2.7")])

    def test_coroutine(self) -> None:
        """A function that waits is waited for."""
        waiting: Deferred[str] = Deferred()

        async def verify(request: VerifyRequest[Any]) -> Any:
            return {"subject": await waiting}

        asking = drive(
            self.verifier.subject_of(
                Verification("onTest", verify, None, None),
                {}.get,
                {}.get,
                "192.0.2.7",
                lambda: False,
            )
        )
        self.assertNoResult(asking)
        waiting.callback("ann")
        self.assertEqual(self.successResultOf(asking), "ann")

    def test_missing(self) -> None:
        """Where credentials are wanted and none came, the app is not asked."""
        for header, cookie in (
            ("authorization", None),
            (None, "session"),
            ("authorization", "session"),
        ):
            asking = self.ask(True, header, cookie, said=None)
            self.failureResultOf(asking, CredentialsMissing)
        self.assertEqual(self.asked, [])
        self.successResultOf(self.ask(True, None, None, said=None))
        self.successResultOf(self.ask(True, "authorization", "session", said=None, baked="x"))

    def test_no(self) -> None:
        """A no is one, with the app's sentence where it gave one."""
        failure = self.failureResultOf(self.ask(Reject("Not today.")), VerifyRejected)
        self.assertIn("Not today.", str(failure.value))
        self.failureResultOf(self.ask(False), VerifyRejected)

    def test_refusal_of_the_server(self) -> None:
        """One that is ours, such as too many calls at once, stays what it is."""
        self.failureResultOf(self.ask(Overloaded()), Overloaded)

    def test_failure_of_the_app(self) -> None:
        """Its error, or an answer that means nothing, is no verdict: it is logged without the
        credentials, and who asked may try again."""
        for answer in (ValueError(f"bad {SECRET}"), 5, "yes", {"subject": [5]}):
            with capturedLogs() as logs:
                self.failureResultOf(self.ask(answer), AuthUnavailable)
            [event] = logs
            self.assertNotIn(SECRET, str(event))

    def test_caller_left(self) -> None:
        """A question that was cancelled because its caller left is no failure of the app."""
        self.left = True
        with capturedLogs() as logs:
            self.failureResultOf(self.ask(CancelledError()), CancelledError)
        self.assertEqual(logs, [])
        self.left = False
        with capturedLogs() as logs:
            self.failureResultOf(self.ask(CancelledError()), AuthUnavailable)
        self.assertEqual(len(logs), 1)
