"""Pages that are left: no error, whoever was at work for them."""

from __future__ import annotations

import asyncio
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import capturedLogs

from takotwist import Grant
from takotwist.live import Channel, ClientEnd, NetworkError, PageLeft, function
from takotwist.testing.memory_peer import HttpPeer
from tests.live.objects.test_channel import ChannelCase
from tests.live.page import Page
from tests.live.test_functions import Functions


def errors(events: list[Any]) -> list[Any]:
    """What is worse than information."""
    return [one for one in events if one["log_level"].name in ("warn", "error", "critical")]


class LeftObjectTests(ChannelCase):
    """Objects of a page that is left."""

    def test_word_of_its_own(self) -> None:
        """However it says so, its objects end with `PageLeft`, which is no `NetworkError`."""
        for leave in ("close", "op", "beacon"):
            self.get()
            with capturedLogs() as events:
                if leave == "close":
                    assert self.page.socket is not None
                    self.page.socket.close(1001)
                elif leave == "op":
                    self.page.say({"op": "live.leave"})
                else:
                    self.world.request(
                        "POST",
                        "/_tako/connect/leave",
                        {"Content-Type": "text/plain"},
                        b'{"session":"%s"}' % self.page.secret.encode(),
                    )
            self.assertEqual(errors(events), [])
            self.page.cut()
        self.assertEqual([type(error) for error in self.closed], [PageLeft] * 3)
        self.assertFalse(issubclass(PageLeft, NetworkError))
        self.nothing_left()

    def test_listener_that_waits(self) -> None:
        """A listener that waits for the page's answer hears of it, and makes no line in the log."""
        channel, end = self.get()
        end.answers = None
        raised: list[BaseException] = []

        async def ask(data: Any) -> None:
            try:
                await channel.send("sure?", ack=True)
            except PageLeft as error:
                raised.append(error)
                raise

        channel.listen(ask)
        end.send("delete")
        self.page.pump()
        with capturedLogs() as events:
            self.page.say({"op": "live.leave"})
        self.assertEqual((len(raised), errors(events)), (1, []))


class LeftCallTests(Functions):
    """Calls whose page is left while they run."""

    def setUp(self) -> None:
        self.gate: Deferred[str] = Deferred()
        self.seen: list[Any] = []
        self.channels: list[Channel[Any, Any]] = []

    async def work(self) -> ClientEnd[Any, Any]:
        """What the functions do."""
        channel: Channel[Any, Any] = Channel()
        channel.on_close(lambda error: self.seen.append(type(error)))
        try:
            self.seen.append(await self.gate)
        except (CancelledError, asyncio.CancelledError):
            self.seen.append("cancelled")
            raise
        return channel.client

    def call(self, page: Page) -> HttpPeer:
        """A call that waits."""
        return self.world.request(
            "POST",
            "/_tako/functions/onWork",
            {"Content-Type": "application/json", "Tako-Session": page.secret},
            {},
        )

    def outcomes(self) -> dict[tuple[str, str], int]:
        """What is counted."""
        return dict(self.world.live.sessions.tally.calls)

    def test_cancelled(self) -> None:
        """A coroutine function is cancelled, and what it made ends; no line in the log."""

        @function
        async def on_work() -> Any:
            return await self.work()

        peer = self.call(self.serve(on_work))
        with capturedLogs() as events:
            peer.leave()
            self.world.advance(0)
        self.assertEqual(self.seen, ["cancelled", PageLeft])
        self.assertEqual(errors(events), [])
        self.assertEqual(self.outcomes(), {("onWork", "left"): 1})

    def test_finish(self) -> None:
        """With `finish` it runs to its end, and what it returns ends then."""

        @function(finish=True)
        async def on_work() -> Any:
            return await self.work()

        peer = self.call(self.serve(on_work))
        with capturedLogs() as events:
            peer.leave()
            self.world.advance(0)
            self.assertEqual(self.seen, [])
            self.gate.callback("done")
        self.assertEqual(self.seen, ["done", PageLeft])
        self.assertEqual(errors(events), [])
        self.assertEqual(self.world.live.sessions.objects, 0)

    def test_finish_and_fail(self) -> None:
        """What goes wrong then is a line in the log all the same."""

        @function(finish=True)
        async def on_work() -> Any:
            await self.work()
            raise RuntimeError("broken")

        peer = self.call(self.serve(on_work))
        with capturedLogs() as events:
            peer.leave()
            self.gate.callback("done")
        [line] = errors(events)
        self.assertIn("broken", line["trace"])

    def test_cancelled_by_itself(self) -> None:
        """A function that is cancelled though its page is there has failed: it is answered."""

        @function
        async def on_work() -> Any:
            return await self.work()

        peer = self.call(self.serve(on_work))
        with capturedLogs() as events:
            self.gate.cancel()
        self.assertEqual((peer.status, peer.json["code"]), (500, "internal-error"))
        self.assertEqual(len(errors(events)), 1)

    def test_while_verified(self) -> None:
        """A page that is left while the app is asked who it is: the function never runs, and no
        line is in the log; an app that is cancelled by itself has failed, and is answered."""
        asked: list[Any] = []

        async def verify(request: Any) -> Any:
            asked.append((request.operation, request.channel))
            await self.gate
            return Grant(subject="ann")

        @function(verify=verify, header=None)
        async def on_work() -> None:
            self.seen.append("ran")

        page = self.serve(on_work)
        peer = self.call(page)
        with capturedLogs() as events:
            peer.leave()
            self.world.advance(0)
        self.assertEqual((asked, self.seen, errors(events)), ([("call", "onWork")], [], []))
        self.gate = Deferred()
        peer = self.call(page)
        with capturedLogs() as events:
            self.gate.cancel()
        self.assertEqual((peer.status, peer.json["code"]), (503, "auth-unavailable"))
        self.assertEqual((self.seen, len(errors(events))), ([], 1))
