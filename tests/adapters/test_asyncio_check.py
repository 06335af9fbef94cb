"""Seeing at start that an app is written for asyncio."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from twisted.internet.defer import inlineCallbacks, succeed
from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.adapters.asyncio_check import needs_asyncio
from takotwist.adapters.callable_runner import waits


def written(source: str) -> Any:
    """The function `verify` of a module with this source."""
    module: dict[str, Any] = {"__name__": "channels.chat"}
    exec(compile(source, "chat.py", "exec"), module)
    return module["verify"]


class TestNeedsAsyncio(SynchronousTestCase):
    def found(self, verifier: Any) -> list[tuple[str, str]]:
        chat = define_channel("chat")
        chat.verify(verifier)
        chat.on("msg")(lambda data, context: data)
        return [(one.what, one.package) for one in needs_asyncio([chat])]

    def test_found(self) -> None:
        """Imported by the module, in the function, or by name: each is seen."""
        for source in (
            "import asyncio\nasync def verify(request): await asyncio.sleep(1)",
            "from asyncio import sleep\nasync def verify(request): await sleep(1)",
            "async def verify(request):\n import asyncio.events\n return True",
            "import asyncio\nasync def other(): await asyncio.sleep(1)\n"
            "async def verify(request): return await other()",
            "import asyncio\nclass Store:\n async def find(self): await asyncio.sleep(1)\n"
            "store = Store()\nasync def verify(request): return await store.find()",
            "import asyncio\nasync def verify(request):\n"
            " return [await one for one in map(lambda n: asyncio.sleep(n), [1])]",
        ):
            self.assertEqual(self.found(written(source)), [("verify of channel 'chat'", "asyncio")])

    def test_handlers_and_partials(self) -> None:
        """Handlers are looked at as well, and so is what a partial wraps."""

        async def handle(extra: int, data: Any, context: Any) -> None:
            await asyncio.sleep(extra)

        chat = define_channel("chat")
        chat.on("msg")(functools.partial(handle, 1))
        self.assertEqual(needs_asyncio([chat])[0].what, "handler of 'msg' of channel 'chat'")

    def test_not_found(self) -> None:
        """Plain functions, and coroutines over Deferreds, need no loop."""
        for source in (
            "import asyncio\ndef verify(request): return True",
            "async def verify(request): return True",
            "from twisted.internet.defer import succeed\n"
            "async def verify(request): return await succeed(True)",
            "async def verify(request): return request.databases.motor",
            "import asyncio\nasync def verify(request): return request.asyncio",
            # what is beside it in the file, and not used by it
            "import asyncio\ndef main(): asyncio.run(None)\n"
            "from twisted.internet.defer import succeed\n"
            "async def verify(request): return await succeed(True)",
            # a library over Deferreds that knows asyncio too
            "import treq\nasync def verify(request): return await treq.get('http://x')",
            "from twisted.internet.task import deferLater\n"
            "async def verify(request): return await deferLater(None, 1)",
        ):
            self.assertEqual(self.found(written(source)), [])


class TestWaits(SynchronousTestCase):
    def test_told_apart(self) -> None:
        """Coroutines and inlineCallbacks give way; plain functions and generators do not."""

        async def coroutine() -> None:
            await succeed(None)

        @inlineCallbacks
        def inline() -> Any:
            yield succeed(None)

        class Callable:
            async def __call__(self) -> None:
                await succeed(None)

            async def method(self) -> None:
                await succeed(None)

        for one in (coroutine, inline, Callable(), Callable().method, functools.partial(coroutine)):
            self.assertTrue(waits(one), one)
        for other in (lambda: None, print, dict, functools.partial(print), TestWaits.run):
            self.assertFalse(waits(other), other)
