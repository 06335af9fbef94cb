"""Reading an app's definitions: once, together, and never by halves."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.registry_http import HttpRegistry
from takotwist.errors import AuthUnavailable
from tests.adapters.app_in_memory import client_of
from tests.adapters.test_app_client import Answering, ScriptedAgent, lost


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
