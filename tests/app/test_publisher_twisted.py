"""Publishing from a Twisted program elsewhere."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Published, Publisher, define_channel
from takotwist.app.http_exchange import HttpAnswer
from takotwist.app.publisher_twisted import DeferredPublisher
from takotwist.errors import Refusal
from tests.adapters.stepped_threads import SteppedPool, SteppedReactor


class TestDeferredPublisher(SynchronousTestCase):
    def setUp(self) -> None:
        self.status = 200
        self.pool = SteppedPool()
        self.pool.held = True
        reactor: Any = SteppedReactor()
        reactor.getThreadPool = lambda: self.pool
        publisher = Publisher("http://live.example", exchange=self.exchange)
        self.publisher = DeferredPublisher(reactor, publisher)

    def exchange(self, *request: Any) -> HttpAnswer:
        body = b'[{"id":"1","channel":"chat","type":"msg","data":1}]'
        return HttpAnswer(self.status, {}, body)

    def test_in_a_thread(self) -> None:
        """The waiting happens in the pool; the answer comes as a Deferred."""
        for answer, expected in (
            (self.publisher.publish("chat", None, "msg", 1), Published("1", "chat", "msg", 1)),
            (
                self.publisher.publish_many("chat", None, [("msg", 1)]),
                [Published("1", "chat", "msg", 1)],
            ),
        ):
            self.assertNoResult(answer)
            self.pool.step()
            self.assertEqual(self.successResultOf(answer), expected)  # type: ignore[arg-type]

    def test_refusal(self) -> None:
        """A refusal fails the Deferred."""
        self.status = 400
        answer = self.publisher.publish("chat", None, "msg", 1)
        self.pool.step()
        self.failureResultOf(answer, Refusal)

    def test_bound(self) -> None:
        """A channel bound to it is awaited under any reactor."""
        chat = define_channel("chat")
        chat.bind(self.publisher)
        answer = Deferred.fromCoroutine(chat().publish("msg", 1))
        self.pool.step()
        self.assertEqual(self.successResultOf(answer).id, "1")
        self.assertEqual(chat().publish_sync("msg", 1).id, "1")
