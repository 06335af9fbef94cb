"""The call that a function runs for: there while it runs, and not later."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.live.errors import UsageError
from takotwist.live.functions.call_context import (
    CallContext,
    RunningCall,
    context,
    current_call,
    run_in,
    wait_in,
)
from takotwist.trampoline import drive

NO_SERVICES: Any = None
COOKIES = {"session": "s3cret"}


def running(name: str = "onTest") -> RunningCall:
    """A call of the function `name`."""
    one = CallContext(name, "request-1", "ann", "192.0.2.7", {"x-tenant": "acme"}, COOKIES.get)
    return RunningCall(NO_SERVICES, one)


class CallContextTests(SynchronousTestCase):
    """What a function may ask of its call."""

    def test_header(self) -> None:
        """In any case of its name; `None` where there is none."""
        one = running().context
        self.assertEqual((one.header("X-Tenant"), one.header("x-none")), ("acme", None))

    def test_cookie(self) -> None:
        """By its very name."""
        one = running().context
        self.assertEqual((one.cookie("session"), one.cookie("Session")), ("s3cret", None))

    def test_no_credentials_in_its_text(self) -> None:
        """Its text, which ends in logs, has neither headers nor cookies."""
        text = repr(running().context)
        self.assertIn("request-1", text)
        for secret in ("acme", "s3cret", "cookie"):
            self.assertNotIn(secret, text)


class RunInTests(SynchronousTestCase):
    """When `context()` works."""

    def test_while_it_runs(self) -> None:
        """The function sees its call, and nobody before it or after."""
        one = running()
        self.assertIsNone(current_call())
        self.assertIs(run_in(one, context), one.context)
        self.assertIsNone(current_call())
        error = self.assertRaises(UsageError, context)
        self.assertIn("keep what a listener needs in a variable", str(error))

    def test_within_another(self) -> None:
        """A call within a call sees its own, and then the outer one again."""
        outer, inner = running("outer"), running("inner")

        def function() -> tuple[str, str, str]:
            before = context().function
            within = run_in(inner, lambda: context().function)
            return before, within, context().function

        self.assertEqual(run_in(outer, function), ("outer", "inner", "outer"))

    def test_after_an_error(self) -> None:
        """One that raises leaves nothing behind."""

        def fail() -> None:
            raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, run_in, running(), fail)
        self.assertIsNone(current_call())

    def test_what_it_starts(self) -> None:
        """What the function starts before it returns belongs to it, also when it goes on later."""
        waiting: Deferred[None] = Deferred()

        async def later() -> str:
            await waiting
            return context().function

        started = run_in(running("starter"), lambda: drive(later()))
        self.assertIsNone(current_call())
        waiting.callback(None)
        self.assertEqual(self.successResultOf(started), "starter")


class WaitInTests(SynchronousTestCase):
    """Functions that wait."""

    def test_beside_each_other(self) -> None:
        """Two calls that wait in turn each see their own to their end."""
        waits: list[Deferred[None]] = []

        async def function() -> tuple[str, str]:
            before = context().function
            waiting: Deferred[None] = Deferred()
            waits.append(waiting)
            await waiting
            return before, context().function

        def start(name: str) -> Deferred[Any]:
            return copy_context().run(lambda: drive(wait_in(running(name), function)))

        one, two = start("one"), start("two")
        self.assertIsNone(current_call())
        for waiting in waits:
            waiting.callback(None)
        self.assertEqual(self.successResultOf(one), ("one", "one"))
        self.assertEqual(self.successResultOf(two), ("two", "two"))

    def test_on_asyncio(self) -> None:
        """The same on a loop of asyncio, where each task has a context of its own."""

        async def function() -> str:
            await asyncio.sleep(0)
            return context().function

        async def both() -> list[str]:
            tasks = [asyncio.create_task(wait_in(running(name), function)) for name in "ab"]
            return await asyncio.gather(*tasks)

        self.assertEqual(asyncio.run(both()), ["a", "b"])
        self.assertIsNone(current_call())
