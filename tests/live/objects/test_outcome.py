"""What a send comes to: awaited from Deferreds, from asyncio, or by nobody."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from takotwist.live.objects.outcome import Outcome
from takotwist.trampoline import drive


class OutcomeTests(SynchronousTestCase):
    """Without a loop of asyncio."""

    def test_there_already(self) -> None:
        """One that is there is awaited without waiting, and gives its result at once."""
        outcome = Outcome.of(3)

        async def wait() -> int:
            return await outcome

        self.assertEqual(self.successResultOf(ensureDeferred(wait())), 3)
        self.assertEqual((outcome.done, outcome.result()), (True, 3))

    def test_later(self) -> None:
        """A coroutine of Deferreds goes on when it is there; so does whoever has its Deferred."""
        outcome: Outcome[int] = Outcome()

        async def wait() -> int:
            return await outcome + await outcome

        first, second = ensureDeferred(wait()), outcome.as_deferred()
        self.assertNoResult(first)
        self.assertRaises(RuntimeError, outcome.result)
        outcome.resolve(2)
        outcome.resolve(5)
        outcome.fail(ValueError())
        self.assertEqual((self.successResultOf(first), self.successResultOf(second)), (4, 2))

    def test_failure(self) -> None:
        """A failure is raised where it is awaited, each time."""
        outcome: Outcome[int] = Outcome()

        async def wait() -> int:
            return await outcome

        waits = [ensureDeferred(wait()), outcome.as_deferred()]
        outcome.fail(KeyError("x"))
        for one in [*waits, ensureDeferred(wait())]:
            self.failureResultOf(one, KeyError)
        self.assertRaises(KeyError, outcome.result)

    def test_unseen_failure(self) -> None:
        """A failure that nobody looks at logs nothing."""
        Outcome.failed(ValueError())
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_take(self) -> None:
        """One may come to what another one came to, changed."""
        good, bad = Outcome[str](), Outcome[str]()
        good.take(Outcome.of(3), str)
        bad.take(Outcome.failed(KeyError()), str)
        self.assertEqual(good.result(), "3")
        self.assertRaises(KeyError, bad.result)


class AsyncioOutcomeTests(SynchronousTestCase):
    """Under a loop of asyncio, as the asyncio reactor has one."""

    def test_task(self) -> None:
        """An asyncio Task awaits it, now or later, and goes on in its loop."""

        async def main() -> list[Any]:
            loop = asyncio.get_running_loop()
            outcome: Outcome[str] = Outcome()
            loop.call_soon(outcome.resolve, "later")
            return [await Outcome.of("now"), await outcome, asyncio.current_task() is not None]

        self.assertEqual(asyncio.run(main()), ["now", "later", True])

    def test_failing_task(self) -> None:
        """A failure is raised in the Task."""

        async def main() -> None:
            outcome: Outcome[str] = Outcome()
            asyncio.get_running_loop().call_soon(outcome.fail, KeyError("x"))
            await outcome

        self.assertRaises(KeyError, asyncio.run, main())

    def test_mixed_with_the_rest(self) -> None:
        """A function of the app may await outcomes, asyncio and Deferreds in turn."""
        outcome: Outcome[str] = Outcome()

        async def function() -> list[str]:
            asyncio.get_running_loop().call_later(0, outcome.resolve, "a")
            first = await outcome
            await asyncio.sleep(0)
            return [first, await succeed("b"), *await asyncio.gather(*[wait(outcome)] * 1)]

        async def wait(one: Outcome[str]) -> str:
            return await one

        async def main() -> Any:
            return await drive(function()).asFuture(asyncio.get_running_loop())

        self.assertEqual(asyncio.run(main()), ["a", "b", "a"])

    def test_cancelled(self) -> None:
        """A Task that was cancelled while it waited is not resumed, and nothing is logged."""
        outcome: Outcome[str] = Outcome()

        async def wait() -> str:
            return await outcome

        async def main() -> bool:
            task = asyncio.ensure_future(wait())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
            outcome.resolve("too late")
            return task.cancelled()

        self.assertTrue(asyncio.run(main()))

    def test_coroutine_of_deferreds_in_a_loop(self) -> None:
        """Where a loop runs but no Task, a coroutine of Deferreds awaits it as always."""
        outcome: Outcome[str] = Outcome()
        seen: list[Any] = []

        async def wait() -> None:
            seen.append(await outcome)

        def begin(done: asyncio.Future[None]) -> None:
            waiting: Deferred[None] = ensureDeferred(wait())
            waiting.addCallback(done.set_result)
            outcome.resolve("x")

        async def main() -> None:
            loop = asyncio.get_running_loop()
            done: asyncio.Future[None] = loop.create_future()
            # A callback of the loop, as the reactor's own are: no Task is current.
            loop.call_soon(begin, done)
            await done

        asyncio.run(main())
        self.assertEqual(seen, ["x"])
