"""What pages are told while an app is written."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.codecs.sse import SseEvent
from takotwist.development import browser
from takotwist.development.browser import Browsers, scripts
from takotwist.development.problem import Problem


class BrowsersTests(SynchronousTestCase):
    """Pages that come, listen and leave."""

    def setUp(self) -> None:
        self.browsers = Browsers(generation=3)

    def next(self, events: AsyncIterator[SseEvent]) -> Deferred[tuple[str, Any]]:
        """The next event: its type and data."""

        async def read() -> tuple[str, Any]:
            event = await events.__anext__()
            assert event.data is not None
            return str(event.event), json.loads(event.data)

        return ensureDeferred(read())

    def listener(self) -> AsyncIterator[SseEvent]:
        """A page that has read what there was."""
        events = self.browsers.events()
        self.successResultOf(self.next(events))
        return events

    def test_state_first(self) -> None:
        """A new page is told how it is: the generation of pages, and the problem that stands."""
        self.browsers.wrong(Problem.of("/p/x.py:3: wrong"))
        events = self.browsers.events()
        self.assertEqual(self.successResultOf(self.next(events)), ("pages", 3))
        self.assertEqual(
            self.successResultOf(self.next(events)), ("problem", {"text": "/p/x.py:3: wrong"})
        )
        self.assertNoResult(self.next(events))

    def test_told(self) -> None:
        """Problems, their end, and changed pages are told to all, each once."""
        one, other = self.listener(), self.listener()
        waiting = [self.next(one), self.next(other)]
        self.browsers.wrong(Problem.of("wrong"))
        for answer in waiting:
            self.assertEqual(self.successResultOf(answer), ("problem", {"text": "wrong"}))
        waiting = [self.next(one), self.next(other)]
        self.browsers.well()
        self.browsers.well()
        for answer in waiting:
            self.assertEqual(self.successResultOf(answer), ("solved", {}))
        answer = self.next(one)
        self.assertNoResult(answer)
        self.browsers.pages_changed()
        self.assertEqual(self.successResultOf(answer), ("pages", 4))

    def test_newest_of_each_kind(self) -> None:
        """A page that does not read has one event of each kind waiting, the newest."""
        events = self.listener()
        waiting = self.next(events)
        self.browsers.pages_changed()
        self.successResultOf(waiting)
        for number in range(1_000):
            self.browsers.wrong(Problem.of(f"wrong {number}"))
            self.browsers.pages_changed()
        told = [self.successResultOf(self.next(events)) for _ in range(2)]
        self.assertEqual(told, [("problem", {"text": "wrong 999"}), ("pages", 1_004)])
        self.assertNoResult(self.next(events))

    def test_bound(self) -> None:
        """One page more than may listen takes the place of the first."""
        self.patch(browser, "MAX_LISTENING", 2)
        ended = self.next(self.listener())
        others = [self.listener(), self.listener()]
        waiting = [self.next(one) for one in others]
        self.failureResultOf(ended, StopAsyncIteration)
        self.assertEqual(self.browsers.listening, 2)
        for one in waiting:
            self.assertNoResult(one)

    def test_close(self) -> None:
        """At the stop all of them end, and nothing is kept of them."""
        ended = self.next(self.listener())
        self.browsers.close()
        self.failureResultOf(ended, StopAsyncIteration)
        self.assertEqual(self.browsers.listening, 0)

    def test_scripts(self) -> None:
        """The client's scripts load ours, and ours is there."""
        self.assertEqual(set(scripts()), {"/_tako/client.js", "/_tako/live.js", "/_tako/dev.js"})
