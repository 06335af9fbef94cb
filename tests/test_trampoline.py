"""Coroutines that wait for Deferreds, for asyncio, or for both in turn."""

from __future__ import annotations

import asyncio
import warnings
from contextvars import ContextVar
from gc import collect
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Channel, Grant, VerifyRequest
from takotwist.errors import AuthUnavailable
from takotwist.trampoline import drive, resumed
from tests.adapters.local_case import REQUEST, AuthorizeLocalCase, Room, chat


class TestContext(SynchronousTestCase):
    """What a coroutine sets of its context is its own (PEP 567)."""

    def test_own_context(self) -> None:
        """It keeps what it set while it waits, and nobody else sees it."""
        who: ContextVar[str] = ContextVar("who", default="nobody")
        waiting: Deferred[None] = Deferred()

        async def work(name: str) -> str:
            who.set(name)
            if name == "waits":
                await waiting
            return who.get()

        later = drive(work("waits"))
        self.assertEqual(who.get(), "nobody")
        self.assertEqual(self.successResultOf(drive(work("at once"))), "at once")
        self.assertEqual(who.get(), "nobody")
        waiting.callback(None)
        self.assertEqual(self.successResultOf(later), "waits")

    def test_fails_at_once(self) -> None:
        """What it raises before it waits is a failure, not an exception."""

        async def work() -> None:
            raise KeyError

        self.failureResultOf(drive(work()), KeyError)

    def test_forgotten_while_it_waits(self) -> None:
        """A coroutine that nobody can wake any more ends quietly, in whatever order it and what
        drives it are collected."""
        ended: list[str] = []

        async def waits() -> None:
            try:
                await Deferred[None]()
            finally:
                ended.append("ended")

        for first in (True, False):
            steps = waits()
            driving = resumed(steps, steps.send(None))
            next(driving)
            for one in (steps, driving) if first else (driving, steps):
                one.close()
        self.assertEqual(ended, ["ended", "ended"])


class TestAsyncio(AuthorizeLocalCase):
    def under_asyncio(self, channel: Channel[Any]) -> Grant:
        async def main() -> Grant:
            authorizer = self.authorizer(channel)
            return await authorizer.authorize(REQUEST).asFuture(asyncio.get_running_loop())

        return asyncio.run(main())

    def test_both_kinds_in_one_coroutine(self) -> None:
        """Under the asyncio reactor a coroutine may await asyncio and Deferreds in turn."""
        channel = chat()
        later: Deferred[str] = Deferred()

        @channel.verify
        async def verify(request: VerifyRequest[Room]) -> Grant:
            assert asyncio.current_task() is not None
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(later.callback, "u")
            first = await later
            second = await asyncio.wait_for(asyncio.sleep(0, "v"), 1)
            third = await succeed("w")
            try:
                await _failing()
            except KeyError:
                return Grant(subject=first + second + third)
            return Grant()

        self.assertEqual(self.under_asyncio(channel).subject, "uvw")

    def test_cancelling_reaches_both_kinds(self) -> None:
        """The deadline cancels a Deferred that an asyncio task waits for."""
        cancelled: list[bool] = []
        channel = chat()

        @channel.verify
        async def verify(request: VerifyRequest[Room]) -> Grant:
            await Deferred(lambda _: cancelled.append(True))
            return Grant()

        async def main() -> None:
            authorizer = self.authorizer(channel)
            answer = authorizer.authorize(REQUEST)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self.reactor.advance(5.1)
            self.failureResultOf(answer, AuthUnavailable)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        asyncio.run(main())
        self.assertEqual(cancelled, [True])

    def test_cancelled_before_it_began(self) -> None:
        """Nothing is left of a coroutine whose task had no turn yet, and nothing is warned of."""
        began: list[bool] = []

        async def work() -> None:
            began.append(True)

        async def main() -> None:
            doing = drive(work())
            doing.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self.failureResultOf(doing, asyncio.CancelledError)

        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            asyncio.run(main())
            collect()
        # Others may have left something to be collected too.
        mine = [str(one.message) for one in warned if "test_cancelled" in str(one.message)]
        self.assertEqual((mine, began), ([], []))

    def test_asyncio_without_its_reactor(self) -> None:
        """Where no asyncio loop runs, the log says how to start the server."""

        async def sleeps(request: Any) -> bool:
            await asyncio.sleep(1)
            return True

        async def yields(request: Any) -> bool:
            await asyncio.sleep(0)
            return True

        async def waits_for_future(request: Any) -> bool:
            loop = asyncio.new_event_loop()
            try:
                await loop.create_future()
            finally:
                loop.close()
            return True

        for verifier in (sleeps, yields, waits_for_future):
            self.logged.clear()
            channel = chat()
            channel.verify(verifier)
            self.failureResultOf(self.asked(channel), AuthUnavailable)
            self.assertEqual(len(self.logged), 1)
            self.assertIn("twistd --reactor=asyncio tako", self.logged[0])


async def _failing() -> None:
    await asyncio.sleep(0)
    waits: Deferred[None] = Deferred()
    asyncio.get_running_loop().call_soon(waits.errback, KeyError("x"))
    await waits
