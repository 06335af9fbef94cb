from __future__ import annotations

import asyncio
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.coroutine import begin, run


class WithoutALoopTests(SynchronousTestCase):
    """Under a reactor of Twisted's own."""

    def test_deferreds(self) -> None:
        """A coroutine may await Deferreds, and its result is the Deferred's."""
        waiting: Deferred[int] = Deferred()

        async def work() -> int:
            return await waiting + await succeed(1)

        result = run(work())
        self.assertNoResult(result)
        waiting.callback(1)
        self.assertEqual(self.successResultOf(result), 2)

    def test_cancelled(self) -> None:
        """Cancelling it cancels what it waits for."""
        waiting: Deferred[None] = Deferred()

        async def work() -> None:
            await waiting

        result = run(work())
        result.cancel()
        self.failureResultOf(result, CancelledError)


class BeginTests(SynchronousTestCase):
    """As far as it goes without waiting."""

    def test_at_once(self) -> None:
        """What waits for nothing is over when `begin` returns."""

        async def work() -> int:
            return await succeed(1)

        self.assertIsNone(begin(work()))

    def test_raises_at_once(self) -> None:
        """What it raises before it waits is raised."""

        async def work() -> None:
            await fail(KeyError())

        self.assertRaises(KeyError, begin, work())

    def test_waits(self) -> None:
        """What waits goes on as any coroutine: through results, failures, and to its end."""
        waiting: list[Deferred[int]] = [Deferred(), Deferred(), Deferred()]

        async def work() -> int:
            first = await waiting[0]
            try:
                await waiting[1]
            except KeyError:
                return first + await waiting[2]
            return 0

        result = begin(work())
        assert result is not None
        waiting[0].callback(1)
        waiting[1].errback(KeyError())
        self.assertNoResult(result)
        waiting[2].callback(2)
        self.assertEqual(self.successResultOf(result), 3)

    def test_fails_later(self) -> None:
        """What it raises when it has waited is a failure."""
        waiting: Deferred[int] = Deferred()

        async def work() -> None:
            await waiting
            raise KeyError

        result = begin(work())
        assert result is not None
        waiting.callback(1)
        self.failureResultOf(result, KeyError)

    def test_cancelled(self) -> None:
        """Cancelling reaches what it waits for, and the coroutine."""
        waiting: Deferred[None] = Deferred()
        told: list[str] = []

        async def work() -> None:
            try:
                await waiting
            finally:
                told.append("over")

        result = begin(work())
        assert result is not None
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.assertEqual(told, ["over"])


class WithALoopTests(SynchronousTestCase):
    """Within asyncio's loop, as under Twisted's asyncio reactor."""

    def _in_loop(self, work: Any) -> Any:
        async def main() -> Any:
            return await run(work()).asFuture(asyncio.get_running_loop())

        return asyncio.run(main())

    def test_both(self) -> None:
        """A coroutine may await Deferreds and anything of asyncio, in one line."""

        async def work() -> int:
            task = asyncio.current_task()
            self.assertIsNotNone(task)
            first = await asyncio.wait_for(asyncio.sleep(0, 1), 5)
            return first + await succeed(2)

        self.assertEqual(self._in_loop(work), 3)

    def test_later(self) -> None:
        """What a Deferred comes to fire with later is what awaiting it gives."""

        async def work() -> str:
            waiting: Deferred[str] = Deferred()
            asyncio.get_running_loop().call_soon(waiting.callback, "later")
            return await waiting

        self.assertEqual(self._in_loop(work), "later")

    def test_failures(self) -> None:
        """A failed Deferred raises in it, and what it raises is the result."""

        async def work() -> None:
            failed: Deferred[None] = Deferred()
            asyncio.get_running_loop().call_soon(failed.errback, KeyError("x"))
            try:
                await failed
            except KeyError as error:
                raise ValueError("y") from error

        self.assertRaises(ValueError, self._in_loop, work)

    def test_cancelled(self) -> None:
        """Cancelling it cancels what it waits for, of either kind."""
        ends: list[str] = []

        async def main() -> None:
            for waiting in (Deferred(), asyncio.sleep(100)):

                async def work(waiting: Any = waiting) -> None:
                    try:
                        await waiting
                    finally:
                        ends.append("ended")

                result = run(work())
                await asyncio.sleep(0)
                result.cancel()
                result.addErrback(lambda failure: ends.append(failure.type.__name__))
                for _ in range(5):
                    await asyncio.sleep(0)

        asyncio.run(main())
        self.assertEqual(ends, ["CancelledError", "ended"] * 2)
