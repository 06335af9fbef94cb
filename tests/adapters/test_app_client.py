"""Asking an app elsewhere: time, retries, bounds, and whose answer it is."""

from __future__ import annotations

from typing import Any

import attrs
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived
from twisted.web.iweb import IAgent
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from takotwist.adapters.app_client import AppAnswer
from takotwist.errors import AuthUnavailable, ConfigError, Overloaded
from tests.adapters.app_in_memory import ADDRESS, TOKEN, client_of


class Answering(Resource):
    """Answers each request as the script says, and remembers what came."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.status = 200
        self.token: str | bytes | None = TOKEN
        self.body = b"{}"
        self.cookie: str | None = None
        self.content_type: str | bytes | None = None
        self.seen: list[tuple[bytes, bytes, dict[str, str], bytes]] = []

    def render(self, request: Any) -> bytes:
        headers = {
            name.decode(): values[0].decode()
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        self.seen.append((request.method, request.uri, headers, request.content.read()))
        request.setResponseCode(self.status)
        if self.token is not None:
            request.setHeader("x-tako-internal-token", self.token)
        if self.content_type is not None:
            request.setHeader("content-type", self.content_type)
        if self.status in (301, 302):
            request.setHeader("location", "http://elsewhere.example/")
        if self.cookie:
            request.setHeader("set-cookie", self.cookie)
        return self.body


class Stalling(Resource):
    """Begins each answer, and says no more."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.gone: list[Deferred[None]] = []

    def render(self, request: Any) -> int:
        self.gone.append(request.notifyFinish())
        request.setHeader("content-length", "10")
        request.write(b"{")
        return NOT_DONE_YET


@implementer(IAgent)
class ScriptedAgent:
    """Fails as often as it is told to, then lets requests through."""

    def __init__(self, resource: Resource) -> None:
        self.through = RequestTraversalAgent(resource)
        self.failures: list[Exception | Deferred[Any]] = []
        self.requests = 0

    def request(self, *args: Any, **kwargs: Any) -> Any:
        self.requests += 1
        if self.failures:
            first = self.failures.pop(0)
            return first if isinstance(first, Deferred) else fail(first)
        return self.through.request(*args, **kwargs)


def lost() -> ResponseNeverReceived:
    return ResponseNeverReceived([Failure(ConnectionLost())])


class AppClientCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.app = Answering()
        self.agent = ScriptedAgent(self.app)
        self.clock = Clock()
        self.client = client_of(self.agent, self.clock)
        self.logged: list[str] = []

        def observe(event: Any) -> None:
            if event.get("log_level") is LogLevel.error:
                self.logged.append(event["log_format"].format(**event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def ask(self, **named: Any) -> Deferred[AppAnswer]:
        answer = self.client.ask("POST", "/channels/authorize", b"{}", **named)
        self.agent.through.flush()
        return answer

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0.05] * round(seconds / 0.05))
        self.agent.through.flush()

    def test_request(self) -> None:
        """The app sees the path, its name as host, the token and the body."""
        self.assertEqual(self.successResultOf(self.ask()), AppAnswer(200, b"{}"))
        method, uri, headers, body = self.app.seen[0]
        self.assertEqual((method, uri, body), (b"POST", b"/channels/authorize", b"{}"))
        self.assertEqual(headers["Host"], "demo.tako")
        self.assertEqual(headers["X-Tako-Internal-Token"], TOKEN)
        self.assertEqual(headers["Content-Type"], "application/json")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_token(self) -> None:
        """Without a token nothing is asked: anything that listens would pass for our app."""
        refused = self.assertRaises(ConfigError, attrs.evolve, ADDRESS, token="")
        self.assertEqual(refused.key, "app.token")
        self.assertNotIn(TOKEN, repr(ADDRESS))

    def test_not_our_app(self) -> None:
        """An answer without the token, or with another, is no answer; the log says why."""
        for token in (None, "other", ""):
            self.app.token = token
            for status in (200, 403, 404):
                self.app.status = status
                self.failureResultOf(self.ask(), AuthUnavailable)
        self.assertIn("without our X-Tako-Internal-Token", self.logged[0])
        self.assertNotIn(TOKEN, "".join(self.logged))

    def test_answer_of_no_text(self) -> None:
        """Fields that are no UTF-8, from whatever else listens there."""
        self.app.token = b"\xff\xfe"
        self.app.content_type = b"text/plain; charset=\xe9"
        self.failureResultOf(self.ask(), AuthUnavailable)
        self.assertIn("without our X-Tako-Internal-Token", self.logged[0])

    def test_restart_is_a_pause(self) -> None:
        """An app that refuses connections for two seconds is asked until it is back."""
        for repeatable in (True, False):
            self.agent.failures = [ConnectError() for _ in range(4)]
            answer = self.ask(repeatable=repeatable)
            self.assertNoResult(answer)
            self.pass_time(2.0)
            self.assertEqual(self.successResultOf(answer).status, 200)
        self.assertEqual(self.logged, [])

    def test_app_that_stays_away(self) -> None:
        """Inside the deadline it is tried again, not often; then there is no answer."""
        self.agent.failures = [ConnectError() for _ in range(100)]
        answer = self.ask()
        self.pass_time(5.1)
        self.failureResultOf(answer, AuthUnavailable)
        self.assertLess(self.agent.requests, 12)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_line_for_many(self) -> None:
        """However many ask an app that is away, the log says so twice a minute."""
        for token in (None, TOKEN, None, TOKEN, None):
            self.app.token = token
            answer = self.ask()
            if token is None:
                self.failureResultOf(answer, AuthUnavailable)
            else:
                self.successResultOf(answer)
        self.assertEqual(len(self.logged), 1)
        self.clock.advance(30)
        self.failureResultOf(self.ask(), AuthUnavailable)
        self.assertEqual(len(self.logged), 2)

    def test_lost_connection(self) -> None:
        """A connection that breaks after the request left is tried again only if repeatable."""
        self.agent.failures = [lost()]
        answer = self.ask()
        self.pass_time(0.5)
        self.assertEqual(self.successResultOf(answer).status, 200)
        self.agent.failures = [lost()]
        self.failureResultOf(self.ask(repeatable=False), AuthUnavailable)
        self.assertEqual(self.agent.requests, 3)

    def test_proxy_without_its_app(self) -> None:
        """502, 503 and 504 are tried again, and so is a 500 that is not our app's."""
        for status, token in ((502, None), (503, TOKEN), (504, None), (500, None)):
            self.app.status, self.app.token = status, token
            answer = self.ask()
            self.assertNoResult(answer)
            self.app.status, self.app.token = 200, TOKEN
            self.pass_time(0.5)
            self.assertEqual(self.successResultOf(answer).status, 200)

    def test_own_failure_is_not_repeated(self) -> None:
        """A 500 of our app, and any failure of a dispatch, is asked once."""
        self.app.status = 500
        self.assertEqual(self.successResultOf(self.ask()).status, 500)
        self.app.token = None
        self.app.status = 503
        self.failureResultOf(self.ask(repeatable=False), AuthUnavailable)
        self.assertEqual(len(self.app.seen), 2)

    def test_deadline(self) -> None:
        """An app that does not answer is given up after five seconds, and its request cancelled."""
        cancelled: list[bool] = []
        self.agent.failures = [Deferred(lambda _: cancelled.append(True))]
        answer = self.ask()
        self.pass_time(4.9)
        self.assertNoResult(answer)
        self.pass_time(0.2)
        self.failureResultOf(answer, AuthUnavailable)
        self.assertEqual(cancelled, [True])
        self.assertIn("was not answered within 5 s", self.logged[0])

    def test_caller_goes_away(self) -> None:
        """A connection that is gone cancels its request and its retries."""
        for pending in (Deferred(), ConnectError()):
            self.agent.failures = [pending]
            answer = self.ask()
            requests = self.agent.requests
            answer.cancel()
            self.failureResultOf(answer, CancelledError)
            self.pass_time(1)
            self.assertEqual(self.agent.requests, requests)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_answer_that_stalls(self) -> None:
        """Whoever gives up an answer in its middle leaves no connection behind."""
        app = Stalling()
        self.client = client_of(agent := ScriptedAgent(app), self.clock)
        late, left = (self.client.ask("POST", "/channels/authorize", b"{}") for _ in range(2))
        agent.through.flush()
        left.cancel()
        agent.through.flush()
        self.failureResultOf(left, CancelledError)
        self.failureResultOf(app.gone[1], ConnectionDone)
        self.assertNoResult(app.gone[0])
        self.pass_time(5.1)
        agent.through.flush()
        self.failureResultOf(late, AuthUnavailable)
        self.failureResultOf(app.gone[0], ConnectionDone)

    def test_cancelled_while_connecting(self) -> None:
        """What a cancelled request fails with is not taken for a reason to try again."""

        def give_up(waiting: Deferred[Any]) -> None:
            waiting.errback(ResponseNeverReceived([Failure(CancelledError())]))

        self.agent.failures = [Deferred(give_up)]
        answer = self.ask()
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.pass_time(1)
        self.assertEqual(self.agent.requests, 1)

    def test_in_turn(self) -> None:
        """Beyond the bound questions wait in order; beyond the line they are refused."""
        self.client = client_of(self.agent, self.clock, concurrency=1, queue=1)
        held: Deferred[Any] = Deferred()
        self.agent.failures = [held]
        first, second = self.ask(), self.ask()
        self.failureResultOf(self.ask(), Overloaded)
        self.assertEqual(self.agent.requests, 1)
        held.errback(lost())
        self.pass_time(0.5)
        self.assertEqual(self.successResultOf(first).status, 200)
        self.assertEqual(self.successResultOf(second).status, 200)

    def test_waits_in_vain(self) -> None:
        """Nobody waits for a place longer than the line's patience."""
        self.client = client_of(self.agent, self.clock, concurrency=1, patience=8.0)
        self.agent.failures = [Deferred(), Deferred()]
        asked = [self.ask() for _ in range(4)]
        self.pass_time(10.1)
        for one in asked[:2]:
            self.failureResultOf(one, AuthUnavailable)
        self.failureResultOf(asked[2], AuthUnavailable)
        self.failureResultOf(asked[3], AuthUnavailable)
        self.assertEqual(self.agent.requests, 2)
        self.assertEqual(self.successResultOf(self.ask()).status, 200)

    def test_who_leaves_the_line(self) -> None:
        """Who goes away while waiting does not take a place."""
        self.client = client_of(self.agent, self.clock, concurrency=1)
        held: Deferred[Any] = Deferred()
        self.agent.failures = [held]
        first, second, third = self.ask(), self.ask(), self.ask()
        second.cancel()
        self.failureResultOf(second, CancelledError)
        held.errback(ConnectError())
        self.pass_time(0.5)
        self.successResultOf(first)
        self.successResultOf(third)
        self.assertEqual(len(self.app.seen), 2)

    def test_large_answer(self) -> None:
        """An answer is read up to its bound and no further."""
        self.app.body = b"x" * 2**20
        self.assertEqual(len(self.successResultOf(self.ask()).body), 2**20)
        self.app.body += b"x"
        self.failureResultOf(self.ask(), AuthUnavailable)
        self.assertIn("more than 1048576 bytes", self.logged[0])
        self.assertEqual(self.successResultOf(self.ask(max_answer_bytes=2**21)).status, 200)

    def test_redirect(self) -> None:
        """A redirect is not followed: the token would go elsewhere."""
        self.app.status = 302
        self.assertEqual(self.successResultOf(self.ask()).status, 302)
        self.assertEqual(len(self.app.seen), 1)

    def test_cookies_are_not_kept(self) -> None:
        """A cookie that the app sets is not sent with the next client's question."""
        self.app.cookie = "session=of-one-user"
        self.successResultOf(self.ask())
        self.successResultOf(self.ask())
        self.assertNotIn("Cookie", self.app.seen[1][2])
