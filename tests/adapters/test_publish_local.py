"""Publishing inside the server's process, from both kinds of function."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Published, define_channel
from takotwist.adapters.publish_local import LocalPublishing
from takotwist.core.topic import Draft, Message, Topic
from takotwist.errors import StoreUnavailable
from tests.adapters.stepped_threads import SteppedReactor


class TestLocalPublishing(SynchronousTestCase):
    def setUp(self) -> None:
        self.in_reactor = True
        self.stored: list[Any] = []
        self.answer: Deferred[None] = succeed(None)
        self.chat = define_channel(
            "chat", params={"type": "object", "properties": {"room": {}, "extra": {}}}
        )
        self.chat.bind(LocalPublishing(SteppedReactor(), self.store, lambda: self.in_reactor))

    def store(
        self, channel: str, params: Mapping[str, Any], drafts: Sequence[Draft], key: str | None
    ) -> Deferred[Sequence[Message]]:
        self.stored.append((channel, params, drafts, key))
        messages = [
            Message(Topic.of(channel, params), number, draft.type, draft.data)
            for number, draft in enumerate(drafts, 1)
        ]
        return self.answer.addCallback(lambda _: messages)

    def test_awaited_in_the_reactor(self) -> None:
        """A coroutine over Deferreds awaits the stored message."""
        self.answer = Deferred()
        waiting = Deferred.fromCoroutine(
            self.chat(room="a").publish("msg", {"n": 1}, idempotency_key="k")
        )
        self.assertNoResult(waiting)
        self.answer.callback(None)
        self.assertEqual(self.successResultOf(waiting), Published("1", "chat", "msg", {"n": 1}))
        self.assertEqual(self.stored, [("chat", {"room": "a"}, (Draft("msg", b'{"n":1}'),), "k")])

    def test_awaited_in_asyncio(self) -> None:
        """Under the asyncio reactor any asyncio code may await it, gather included."""

        async def main() -> list[Published]:
            bound = self.chat(room="a")
            return await asyncio.gather(bound.publish("a", 1), bound.publish("b", 2))

        self.assertEqual([one.type for one in asyncio.run(main())], ["a", "b"])

    def test_blocking_in_a_thread(self) -> None:
        """A plain function, which runs in a thread, blocks until it is stored."""
        self.in_reactor = False
        self.assertEqual(self.chat(room="a").publish_sync("msg", 1).id, "1")

    def test_failure(self) -> None:
        """A store that cannot be used is an error of the publish."""
        for failing in (True, False):
            self.in_reactor = failing
            self.answer = Deferred()
            self.answer.errback(StoreUnavailable())
            if failing:
                waiting = Deferred.fromCoroutine(self.chat(room="a").publish("msg", 1))
                self.failureResultOf(waiting, StoreUnavailable)
            else:
                self.assertRaises(StoreUnavailable, self.chat(room="a").publish_sync, "msg", 1)

    def test_wrong_thread(self) -> None:
        """Each form refuses the thread in which it would do harm, and names the other."""
        blocked = self.assertRaises(RuntimeError, self.chat(room="a").publish_sync, "msg", 1)
        self.assertIn("await publish()", str(blocked))
        self.in_reactor = False
        waiting = Deferred.fromCoroutine(self.chat(room="a").publish("msg", 1))
        self.assertIn("publish_sync()", str(self.failureResultOf(waiting, RuntimeError).value))
        self.assertEqual(self.stored, [])
