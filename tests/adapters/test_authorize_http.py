"""What answers of an app elsewhere mean, the strange ones included.

Each channel is asked where it was defined.

Reading an app's definitions: once, together, and never by halves.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from takotwist.adapters.authorize_http import AuthorizerRouter, HttpAuthorizer, HttpRegistry
from takotwist.core.authorization import (
    AuthRequest,
    Drop,
    Fanout,
    Frame,
    Grant,
    HeaderCredential,
    Reject,
)
from takotwist.core.channel import ChannelDefinition, Defined, Registry
from takotwist.errors import (
    AuthUnavailable,
    BodyInvalid,
    ChannelUnknown,
    ParamsInvalid,
    VerifyRejected,
)
from takotwist.ports import IAuthorizer
from tests.adapters.app_in_memory import client_of
from tests.adapters.test_app_client import Answering, ScriptedAgent, lost

REQUEST = AuthRequest("chat", "connect", {"roomId": "a"}, HeaderCredential("abc", "Bearer"), "sid")
FRAME = Frame("chat", {"roomId": "a"}, "msg", b'{"text":"hi"}', "u1")


class HttpAuthorizerCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.app = Answering()
        self.agent = ScriptedAgent(self.app)
        self.authorizer = HttpAuthorizer(client_of(self.agent, Clock()))

    def authorize(self, status: int, body: bytes) -> Deferred[Grant]:
        self.app.status, self.app.body = status, body
        answer = self.authorizer.authorize(REQUEST)
        self.agent.through.flush()
        return answer

    def dispatch(self, status: int, body: bytes) -> Deferred[Any]:
        self.app.status, self.app.body = status, body
        answer = self.authorizer.dispatch(FRAME)
        self.agent.through.flush()
        return answer


class TestAuthorize(HttpAuthorizerCase):
    def test_question(self) -> None:
        """The question is exactly the protocol's."""
        self.successResultOf(self.authorize(200, b'{"ok":true}'))
        self.assertEqual(
            self.app.seen[0][3],
            b'{"channel":"chat","operation":"connect","params":{"roomId":"a"},'
            b'"header":{"value":"abc","scheme":"Bearer"},"cookie":"sid"}',
        )

    def test_yes(self) -> None:
        """A yes with all it may say, unknown fields passed over."""
        body = (
            b'{"ok":true,"subject":"u","transport":"ws","replayWindowMs":1,"inactivityTtlMs":2,'
            b'"keepaliveIntervalMs":3,"maxConnectionLifetimeMs":4,"expiresAt":5,"more":[]}'
        )
        self.assertEqual(
            self.successResultOf(self.authorize(200, body)),
            Grant(
                subject="u",
                expires_at=5,
                replay_window_ms=1,
                inactivity_ttl_ms=2,
                keepalive_interval_ms=3,
                max_connection_lifetime_ms=4,
            ),
        )

    def test_no(self) -> None:
        """403, and ok: false whatever the status, are a no."""
        for status, body in (
            (403, b""),
            (403, b"{}"),
            (200, b'{"ok":false}'),
            (401, b'{"ok":false}'),
        ):
            self.failureResultOf(self.authorize(status, body), VerifyRejected)

    def test_unknown(self) -> None:
        """404 says that there is no such channel."""
        self.failureResultOf(self.authorize(404, b'{"ok":false}'), ChannelUnknown)

    def test_params(self) -> None:
        """An app that refuses the params says so in its own words."""
        body = b'{"code":"params-invalid","error":"roomId: too short"}'
        refused = self.failureResultOf(self.authorize(400, body), ParamsInvalid)
        self.assertEqual(refused.value.sentence, "roomId: too short")

    def test_garbage(self) -> None:
        """Anything else is no answer."""
        for status, body in (
            (200, b""),
            (200, b"<html>"),
            (200, b"[]"),
            (200, b"{}"),
            (200, b'{"ok":"true"}'),
            (200, b'{"ok":true,"subject":7}'),
            (200, b'{"ok":true,"replayWindowMs":"1"}'),
            (200, b'{"ok":true,"replayWindowMs":1e308}'),
            (200, b'{"ok":true,"expiresAt":1e308}'),
            (200, b'{"ok":true,"expiresAt":1e999}'),
            (200, b'{"ok":true,"expiresAt":NaN}'),
            (200, b'{"ok":true,"expiresAt":-1}'),
            (200, b'{"ok":true,"expiresAt":1763700000000}'),
            (200, b'{"ok":true,"expiresAt":"1763700000"}'),
            (200, b'{"ok":true,"expiresAt":true}'),
            (200, b'{"ok":true,"subject":"\xff"}'),
            (200, b"[" * 100_000),
            (201, b'{"ok":true}'),
            (204, b""),
            (302, b""),
            (400, b"{}"),
            (401, b""),
            (500, b'{"ok":true}'),
        ):
            self.failureResultOf(self.authorize(status, body), AuthUnavailable)


TEXT, JSON, HTML = "text/plain; charset=utf-8", "application/json", "text/html"


class TestOriginalSdks(HttpAuthorizerCase):
    """What apps on the original system's SDKs answer without the token."""

    def without_token(self, status: int, content_type: str, body: bytes) -> Deferred[Grant]:
        self.app.token, self.app.content_type = None, content_type
        return self.authorize(status, body)

    def test_go(self) -> None:
        """A refusal and an unknown channel of the Go SDK are the app's own."""
        refused = self.without_token(403, TEXT, b"forbidden\n")
        self.failureResultOf(refused, VerifyRejected)
        unknown = self.without_token(404, TEXT, b"channel not defined\n")
        self.failureResultOf(unknown, ChannelUnknown)

    def test_javascript(self) -> None:
        """A `verify` of the JavaScript SDK that raised is not asked again."""
        failed = self.without_token(500, JSON, b'{"error":"Internal Server Error"}')
        self.failureResultOf(failed, AuthUnavailable)
        self.assertEqual(len(self.app.seen), 1)

    def test_others(self) -> None:
        """What a proxy, a router or an app with another token says is no answer."""
        for status, content_type, body in (
            (403, HTML, b"<html><h1>403 Forbidden</h1></html>"),
            (403, TEXT, b"Forbidden"),
            (403, TEXT, b"forbidden"),
            (403, HTML, b"forbidden\n"),
            (403, JSON, b'{"error":"Forbidden"}'),
            (403, JSON, b'{"ok":false}'),
            (404, TEXT, b"404 page not found\n"),
            (404, HTML, b"channel not defined\n"),
            (401, TEXT, b"unauthorized\n"),
            (200, TEXT, b"forbidden\n"),
            (200, JSON, b'{"ok":true}'),
        ):
            answer = self.without_token(status, content_type, body)
            self.failureResultOf(answer, AuthUnavailable)

    def test_frames(self) -> None:
        """None of them is the answer to a frame."""
        self.app.token, self.app.content_type = None, TEXT
        refused = self.dispatch(403, b"forbidden\n")
        self.failureResultOf(refused, AuthUnavailable)


class TestDispatch(HttpAuthorizerCase):
    def test_question(self) -> None:
        """The frame is exactly the protocol's."""
        self.successResultOf(self.dispatch(200, b'{"action":"drop"}'))
        self.assertEqual(
            self.app.seen[0][3],
            b'{"channel":"chat","params":{"roomId":"a"},'
            b'"frame":{"type":"msg","data":{"text":"hi"}},"subject":"u1"}',
        )

    def test_verdicts(self) -> None:
        """The three actions; data comes onto one line."""
        for body, verdict in (
            (b'{"action":"fanout","data":{"a":\n1}}', Fanout(b'{"a":1}')),
            (b'{"action":"fanout","data":null}', Fanout(b"null")),
            (b'{"action":"drop"}', Drop()),
            (b'{"action":"drop","error":"why"}', Drop("why")),
            (b'{"action":"reject","reason":"no"}', Reject("no")),
        ):
            self.assertEqual(self.successResultOf(self.dispatch(200, body)), verdict)

    def test_payload(self) -> None:
        """An app that refuses the payload says so in its own words."""
        body = b'{"code":"body-invalid","error":"data.text: too long"}'
        refused = self.failureResultOf(self.dispatch(400, body), BodyInvalid)
        self.assertEqual(refused.value.sentence, "data.text: too long")

    def test_unknown(self) -> None:
        """404 says that there is no such channel."""
        self.failureResultOf(self.dispatch(404, b""), ChannelUnknown)

    def test_garbage(self) -> None:
        """Anything else is no answer, and is asked once."""
        bodies = (
            b"",
            b"{}",
            b'{"action":"fanout"}',
            b'{"action":"reject"}',
            b'{"action":"jump"}',
            b'{"action":"drop","error":5}',
            b'{"action":"fanout","data":1e999}',
        )
        for body in bodies:
            self.failureResultOf(self.dispatch(200, body), AuthUnavailable)
        for status in (400, 403, 500, 503):
            self.failureResultOf(self.dispatch(status, b"{}"), AuthUnavailable)
        self.assertEqual(len(self.app.seen), len(bodies) + 4)


class Named:
    """An authorizer that says its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def authorize(self, request: AuthRequest) -> Deferred[Grant]:
        return succeed(Grant(subject=self.name))

    def dispatch(self, frame: Frame) -> Deferred[Any]:
        return succeed(Drop(self.name))


class TestRouter(SynchronousTestCase):
    def setUp(self) -> None:
        self.registry = Registry.of(
            Defined(ChannelDefinition(name=name), "here", local=name == "near")
            for name in ("near", "far")
        )

    def router(self, elsewhere: Any) -> AuthorizerRouter:
        local: Any = Named("local")
        return AuthorizerRouter(self.registry, local, elsewhere)

    def test_routes(self) -> None:
        """Channels of this process here, the others over there."""
        router = self.router(Named("http"))
        verifyObject(IAuthorizer, router)
        for channel, name in (("near", "local"), ("far", "http")):
            grant = self.successResultOf(router.authorize(AuthRequest(channel, "subscribe", {})))
            self.assertEqual(grant.subject, name)
            verdict = self.successResultOf(router.dispatch(Frame(channel, {}, "msg", b"1")))
            self.assertEqual(verdict, Drop(name))

    def test_nobody_to_ask(self) -> None:
        """An unknown channel, or one whose app is not configured, is unknown."""
        router = self.router(None)
        for channel in ("far", "none"):
            asked = router.authorize(AuthRequest(channel, "subscribe", {}))
            self.failureResultOf(asked, ChannelUnknown)
            frame = Frame(channel, {}, "msg", b"1")
            self.failureResultOf(router.dispatch(frame), ChannelUnknown)


class TestHttpRegistry(SynchronousTestCase):
    def setUp(self) -> None:
        self.app = Answering()
        self.app.body = b'[{"channel":"chat","auth":false}]'
        self.agent = ScriptedAgent(self.app)
        self.clock = Clock()
        self.registry = HttpRegistry(client_of(self.agent, self.clock), self.clock)

    def flushed(self, answer: Deferred[bool]) -> Deferred[bool]:
        self.agent.through.flush()
        return answer

    def names(self) -> list[str]:
        return [one.definition.name for one in self.registry.defined]

    def test_read(self) -> None:
        """Its channels are asked for by GET, and belong to the app elsewhere."""
        self.assertTrue(self.successResultOf(self.flushed(self.registry.reload())))
        self.assertEqual(self.app.seen[0][:2], (b"GET", b"/channels/registry"))
        (defined,) = self.registry.defined
        self.assertFalse(defined.local)
        self.assertEqual(defined.place, "http://app.example:3000/channels/registry")

    def test_unchanged(self) -> None:
        """The same answer again says that nothing has changed."""
        self.successResultOf(self.flushed(self.registry.reload()))
        self.assertFalse(self.successResultOf(self.flushed(self.registry.reload())))
        self.app.body = b"[]"
        self.assertTrue(self.successResultOf(self.flushed(self.registry.reload())))
        self.assertEqual(self.names(), [])

    def test_app_without_dispatch(self) -> None:
        """Frames of its WebSocket channels are published as they came; the others take none."""
        self.app.body = (
            b'[{"channel":"chat","auth":{},"transport":"ws"},{"channel":"news","auth":false}]'
        )
        client = client_of(self.agent, self.clock)
        registry = HttpRegistry(client, self.clock, dispatches=False)
        self.successResultOf(self.flushed(registry.reload()))
        chat, news = (one.definition for one in registry.defined)
        self.assertEqual((chat.handlers, chat.forward_unhandled), (frozenset(), True))
        self.assertTrue(chat.verified)
        self.assertFalse(news.bidirectional)

    def test_wrong(self) -> None:
        """A registry that cannot be read leaves the last one in force."""
        self.successResultOf(self.flushed(self.registry.reload()))
        for status, body in ((200, b"{}"), (200, b'[{"channel":"a b","auth":false}]'), (404, b"")):
            self.app.status, self.app.body = status, body
            self.failureResultOf(self.flushed(self.registry.reload()), AuthUnavailable)
            self.assertEqual(self.names(), ["chat"])

    def test_together(self) -> None:
        """Who asks while it is being read gets the same answer; one who leaves disturbs nobody."""
        held: Deferred[object] = Deferred()
        self.agent.failures = [held]
        first, second, third = (self.registry.reload() for _ in range(3))
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.agent.requests, 1)
        held.errback(lost())
        self.clock.pump([0.1] * 5)
        self.agent.through.flush()
        self.assertTrue(self.successResultOf(first))
        self.assertTrue(self.successResultOf(third))

    def test_unknown_names_do_not_make_the_app_work(self) -> None:
        """Unknown names have it read at most once a second."""
        self.successResultOf(self.flushed(self.registry.reload_for_unknown()))
        for _ in range(10):
            self.assertFalse(self.successResultOf(self.registry.reload_for_unknown()))
        self.assertEqual(self.agent.requests, 1)
        self.clock.advance(1.1)
        self.app.body = b'[{"channel":"new","auth":false}]'
        self.assertTrue(self.successResultOf(self.flushed(self.registry.reload_for_unknown())))
        self.assertEqual(self.names(), ["new"])
