"""Durable streams written and read by a program, through the death of the server."""

from __future__ import annotations

import asyncio

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from takotwist.app.durable_stream import DurableStream, DurableStreams
from takotwist.errors import NotFound, Refusal, ReplayTooOld
from tests.sockets.server_process import FAST, KEY, KEYS, ServerProcess

CONFIG = f'{FAST}{KEYS}[streams]\npath = "/streams"\nlong_poll_seconds = 2\n'

TOKENS = [f"token {number} é\n" for number in range(600)]

WHOLE = "".join(TOKENS).encode()


async def read(stream: DurableStream) -> bytes:
    """All of it, up to its end."""
    return b"".join([page.data async for page in stream.follow()])


class AsyncioTests(SynchronousTestCase):
    timeout = 120

    def setUp(self) -> None:
        self.server = ServerProcess(CONFIG)
        self.addCleanup(self.server.close)
        self.server.start()

    def test_killed(self) -> None:
        """A server that dies in the middle: every reader has exactly the text, and its end."""

        async def run() -> None:
            stream = DurableStreams(url=self.server.url, key=KEY, patience=90).at("answers/1")
            await stream.create()
            readers = [asyncio.create_task(read(stream)) for _ in range(5)]
            async with stream.writing() as out:
                for number, token in enumerate(TOKENS):
                    await out.write(token)
                    if number % 200 == 100:
                        await out.flush()
                        await asyncio.to_thread(self.server.kill)
                        await asyncio.to_thread(self.server.start)
                readers.append(asyncio.create_task(read(stream)))
            self.assertEqual(await asyncio.gather(*readers), [WHOLE] * 6)
            page = await stream.read("now")
            self.assertEqual((page.data, page.ended), (b"", True))
            try:
                await stream.append("more")
            except Refusal as refused:
                self.assertEqual(refused.code, "stream-already-ended")
            else:
                self.fail("appended to what has ended")

        asyncio.run(run())
        self.server.assert_clean()

    def test_cancel(self) -> None:
        """A reader that deletes ends the writer and the other readers."""

        async def run() -> None:
            streams = DurableStreams(url=self.server.url, key=KEY)
            stream = streams.at("answers/2")
            await stream.create()
            reading = asyncio.create_task(read(stream))
            with self.assertRaises(NotFound):
                async with stream.writing() as out:
                    for number in range(1000):
                        await out.write("token ")
                        await out.flush()
                        if number == 3:
                            await stream.delete()
            # Which of the two depends on whether it waited when that happened.
            with self.assertRaises((NotFound, ReplayTooOld)):
                await reading

        asyncio.run(run())


class TwistedTests(TestCase):
    timeout = 120

    def test_written(self) -> None:
        """A reactor waits as a loop does."""
        server = ServerProcess(CONFIG)
        self.addCleanup(server.close)

        async def run() -> None:
            await deferToThread(server.start)
            streams = DurableStreams(url=server.url, key=KEY, reactor=reactor)
            stream = streams.at("answers/3")
            await stream.create()
            reading = ensureDeferred(read(stream))
            async with stream.writing() as out:
                for token in TOKENS:
                    await out.write(token)
            self.assertEqual(await reading, WHOLE)
            await streams.close()

        running: Deferred[None] = ensureDeferred(run())
        return running  # type: ignore[return-value]
