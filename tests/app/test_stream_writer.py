"""Writing a message bit by bit: in the server's process, under asyncio, and from a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Publisher, StreamedMessage, define_channel
from takotwist.app.awaited_exchange import Request
from takotwist.app.channel import Channel
from takotwist.app.http_exchange import Deadline
from takotwist.app.publisher_twisted import DeferredPublisher
from takotwist.app.stream_writer import MessageWriter
from takotwist.codecs.http_answer import HttpAnswer
from takotwist.errors import (
    BodyInvalid,
    MessageTooLarge,
    ParamsInvalid,
    StreamDifferent,
    StreamEnded,
    StreamTaken,
)
from takotwist.server.config import Config
from takotwist.server.config.streams import Streams
from takotwist.testing.world import World

ROOM = {"type": "object", "properties": {"roomId": {"type": "string"}}, "required": ["roomId"]}


class Here:
    """A server with a channel; the app's code runs in it."""

    def __init__(self, channel: Channel[Any] | None = None, **more: Any) -> None:
        self.chat = channel or define_channel("chat", params=ROOM)
        self.world = World(self.chat, config=Config(streams=Streams(**more)))

    def stream(self, type: str = "answer", **more: Any) -> MessageWriter:
        """A writer."""
        return self.chat(roomId="lobby").stream(type, **more)

    def wait(self, seconds: float = 0.0) -> Deferred[None]:
        """Let time pass in the app's code."""
        waiting: Deferred[None] = Deferred()
        self.world.clock.callLater(seconds, waiting.callback, None)
        return waiting

    def run(self, app: Any, seconds: float = 10.0) -> Deferred[Any]:
        """Run a coroutine of the app for a while."""
        doing: Deferred[Any] = ensureDeferred(app)
        self.world.advance(seconds)
        return doing

    def history(self) -> list[Any]:
        """Data of the topic's messages."""
        answer: Any = self.world.get("/channels/chat/history?roomId=lobby").json
        return [one["data"] for one in answer["messages"]]

    def read(self, name: str) -> Any:
        """What a reader has."""
        return self.world.get(f"/channels/chat/streams/{name}?roomId=lobby").json

    def cancel(self, name: str) -> None:
        """As a page that may."""
        target = f"/channels/chat/streams/{name}?roomId=lobby"
        assert self.world.request("DELETE", target, private=True).status == 204


class InProcessTests(SynchronousTestCase):
    """In the server's process."""

    def test_written(self) -> None:
        """Ten lines: a reader sees it grow, and the end of the block ends it."""
        here = Here()
        seen: list[Any] = []

        async def answer() -> None:
            async with here.stream(meta={"to": 7}) as out:
                for token in ("Hel", "lo", ", ", "Ada", "."):
                    await out.write(token)
                    await here.wait(0.1)
                    seen.append("".join(here.read(out.id)))

        self.successResultOf(here.run(answer()))
        self.assertEqual(seen, ["Hel", "Hello", "Hello, ", "Hello, Ada", "Hello, Ada."])
        [last] = here.history()
        self.assertEqual((last["stream"]["state"], last["text"]), ("ended", "Hello, Ada."))
        self.assertEqual(last["meta"], {"to": 7})

    def test_gathered(self) -> None:
        """A token costs no transaction."""
        here = Here()

        async def answer() -> None:
            async with here.stream() as out:
                for _ in range(100):
                    await out.write("x")
                    await here.wait(0.001)
                await out.flush()

        before = here.world.parts.metrics.publishes
        doing = here.run(answer(), 0.0)
        for _ in range(200):
            here.world.clock.advance(0.001)
        self.successResultOf(doing)
        self.assertLess(here.world.parts.metrics.publishes - before, 20)
        self.assertEqual(here.history()[0]["text"], "x" * 100)

    def test_failed(self) -> None:
        """A block that raises ends it as failed, with what was written, and goes on raising."""
        here = Here()

        async def answer() -> None:
            async with here.stream() as out:
                await out.write("He")
                raise ZeroDivisionError

        self.failureResultOf(here.run(answer()), ZeroDivisionError)
        stream = here.history()[0]["stream"]
        self.assertEqual((stream["state"], stream["reason"]), ("failed", "failed"))
        self.assertNotIn("error", stream)
        self.assertEqual(here.history()[0]["text"], "He")

    def test_said_to_fail(self) -> None:
        """With a sentence for people."""
        here = Here()

        async def answer() -> None:
            async with here.stream() as out:
                await out.fail("The model is away.")

        self.successResultOf(here.run(answer()))
        self.assertEqual(here.history()[0]["stream"]["error"], "The model is away.")

    def test_cancelled(self) -> None:
        """The block ends at its next word, in silence; what was registered is called at once."""
        here = Here()
        called: list[str] = []
        writers: list[MessageWriter] = []

        async def answer() -> None:
            async with here.stream() as out:
                writers.append(out)
                out.on_cancel(lambda: called.append("cancel"))
                for number in range(100):
                    await out.write(f"{number} ")
                    await here.wait(1.0)
                    called.append("word")

        doing = here.run(answer(), 2.5)
        self.assertEqual(called, ["word", "word"])
        here.cancel(writers[0].id)
        self.assertEqual(called, ["word", "word", "cancel"])
        self.assertTrue(writers[0].cancelled)
        here.world.advance(1)
        self.successResultOf(doing)
        self.assertEqual(called, ["word", "word", "cancel", "word"])
        self.assertEqual(here.history()[0]["stream"]["state"], "cancelled")
        writers[0].on_cancel(lambda: called.append("late"))
        self.assertEqual(called[-1], "late")

    def test_silent(self) -> None:
        """A model that thinks for minutes is not taken for one that has gone."""
        here = Here()

        async def answer() -> None:
            async with here.stream() as out:
                await out.write("He")
                await here.wait(200.0)
                await out.write("llo")

        self.successResultOf(here.run(answer(), 210.0))
        self.assertEqual(here.history()[0]["text"], "Hello")

    def test_taken_over(self) -> None:
        """A second worker goes on behind what is there; the first one has a clear error."""
        here = Here()

        async def first() -> None:
            async with here.stream(id="job-7") as out:
                await out.write("one ")
                await here.wait(5.0)
                await out.write("no")
                await out.flush()

        async def second() -> int:
            async with here.stream(id="job-7", resume=True) as out:
                await out.write("two")
                return out.resumed

        doing = here.run(first(), 1.0)
        self.failureResultOf(here.run(other(here), 1.0), StreamDifferent)
        self.assertEqual(self.successResultOf(here.run(second(), 1.0)), len('"one "'))
        here.world.advance(10)
        self.failureResultOf(doing, StreamEnded)
        self.assertEqual(here.history()[0]["text"], "one two")

    def test_locked_out(self) -> None:
        """While the second one still writes."""
        here = Here()

        async def first() -> None:
            async with here.stream(id="job-7") as out:
                await here.wait(2.0)
                await out.write("no")
                await out.flush()

        async def second() -> None:
            async with here.stream(id="job-7", resume=True) as out:
                await here.wait(5.0)
                await out.write("yes")

        one, two = here.run(first(), 1.0), here.run(second(), 8.0)
        self.failureResultOf(one, StreamTaken)
        self.successResultOf(two)
        self.assertEqual(here.history()[0]["text"], "yes")

    def test_too_large(self) -> None:
        """The writer is told, and so are readers."""
        here = Here(message_bytes=1024)

        async def answer() -> None:
            async with here.stream() as out:
                for _ in range(20):
                    await out.write("x" * 100)
                    await here.wait(0.1)

        self.failureResultOf(here.run(answer()), MessageTooLarge)
        [last] = here.history()
        self.assertEqual(last["stream"]["state"], "failed")
        self.assertIn("1024 bytes", last["stream"]["error"])
        self.assertEqual(last["text"], "x" * 1000)

    def test_values(self) -> None:
        """Anything that JSON can carry."""
        here = Here()

        async def answer() -> None:
            async with here.stream(of="values") as out:
                await out.write({"type": "start"})
                await out.write(["a", 1.5])

        self.successResultOf(here.run(answer()))
        self.assertEqual(here.history()[0]["items"], [{"type": "start"}, ["a", 1.5]])

    def test_declared(self) -> None:
        """A channel with declared messages has one more."""
        here = Here(define_channel("chat", params=ROOM, messages={"answer": StreamedMessage}))

        async def answer(type: str) -> None:
            async with here.stream(type) as out:
                await out.write("Hello")

        self.successResultOf(here.run(answer("answer")))
        [last] = here.history()
        read = here.chat.read_data("answer", msgspec.json.encode(last))
        self.assertEqual((read.text, read.stream.state), ("Hello", "ended"))
        self.failureResultOf(here.run(answer("other")), BodyInvalid)

    def test_refused_at_once(self) -> None:
        """What cannot be said at all."""
        here = Here()
        self.assertRaises(ParamsInvalid, here.stream, of="bytes")
        self.assertRaises(BodyInvalid, here.stream, meta=object())
        with self.assertRaisesRegex(RuntimeError, "would block the server"):
            here.chat(roomId="lobby").stream_sync("answer").__enter__()

    def test_closed_coroutine(self) -> None:
        """One that is closed and cannot wait still ends its message, as failed."""
        here = Here()

        async def answer() -> None:
            async with here.stream() as out:
                await out.write("He")
                await here.wait(100.0)

        running = answer()
        doing: Any = running.send(None)
        here.world.advance(1)
        running.close()
        here.world.advance(1)
        del doing
        self.assertEqual(here.history()[0]["stream"]["state"], "failed")


async def other(here: Here) -> None:
    """A writer that does not say that it takes over."""
    async with here.stream(id="job-7") as out:
        await out.write("no")


class ElsewhereTests(SynchronousTestCase):
    """From other processes, over HTTP."""

    def setUp(self) -> None:
        self.here = Here()
        self.publisher = Publisher("http://server.example", exchange=self._exchange)

    def _exchange(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        deadline: Deadline | None = None,
    ) -> HttpAnswer:
        peer = self.here.world.request(method, target, headers, body, private=True)
        return HttpAnswer(peer.status, peer.headers, peer.body)

    async def _answered(self, request: Request, read: Any) -> Any:
        # As an exchange answers, at once.
        return read(self._exchange(request.method, request.target, request.headers, request.body))

    def test_from_a_thread(self) -> None:
        """A plain function."""
        with self.publisher.stream("chat", {"roomId": "lobby"}, "answer") as out:
            for token in ("Hel", "lo"):
                out.write(token)
            out.flush()
            self.assertEqual("".join(self.here.read(out.id)), "Hello")
        self.assertEqual(self.here.history()[0]["text"], "Hello")

    def test_cancelled_from_a_page(self) -> None:
        """Is told to a plain function with its next word."""
        called: list[str] = []
        with self.publisher.stream("chat", {"roomId": "lobby"}, "answer") as out:
            out.on_cancel(lambda: called.append("cancel"))
            out.write("He")
            out.flush()
            self.here.cancel(out.id)
            out.write("llo")
            out.flush()
            called.append("not reached")
        self.assertEqual((called, out.cancelled), (["cancel"], True))
        self.assertEqual(self.here.history()[0]["text"], "He")

    def test_fails(self) -> None:
        """A block that raises."""
        stream = self.publisher.stream("chat", {"roomId": "lobby"}, "answer")
        with self.assertRaises(ZeroDivisionError), stream as out:
            out.write("He")
            raise ZeroDivisionError
        self.assertEqual(self.here.history()[0]["stream"]["state"], "failed")

    def test_refused(self) -> None:
        """At the opening, by name."""
        stream = self.publisher.stream("chat", {"roomId": "lobby"}, "answer", id="a b")
        self.assertRaises(BodyInvalid, stream.__enter__)
        stream = self.publisher.stream("chat", {}, "answer")
        self.assertRaises(ParamsInvalid, stream.__enter__)

    def test_bound(self) -> None:
        """By the channel, where it is bound to a publisher."""
        self.here.chat.bind(self.publisher)
        with self.here.chat(roomId="lobby").stream_sync("answer", id="a") as out:
            out.write("Hello")
            out.end()
        self.assertEqual(self.here.history()[0]["stream"]["id"], "a")

    def test_asyncio(self) -> None:
        """On a loop."""
        publisher: Any = self.publisher
        self.patch(publisher._on_loops, "answered", self._answered)

        async def answer() -> None:
            async with publisher.stream_async("chat", {"roomId": "lobby"}, "answer") as out:
                for token in ("Hel", "lo"):
                    await out.write(token)
                    await asyncio.sleep(0)
                await out.flush()
                self.here.cancel(out.id)
                await out.write("!")
                await out.flush()
                raise AssertionError("it goes on")

        asyncio.run(answer())
        self.assertEqual(self.here.history()[0]["text"], "Hello")
        self.assertEqual(self.here.history()[0]["stream"]["state"], "cancelled")

    def test_twisted(self) -> None:
        """Under a reactor."""
        deferred: Any = DeferredPublisher(self.here.world.clock, self.publisher)
        self.patch(deferred._exchange, "answered", self._answered)

        async def answer() -> None:
            async with deferred.stream("chat", {"roomId": "lobby"}, "answer") as out:
                await out.write("Hello")
                await self.here.wait(60.0)

        self.successResultOf(self.here.run(answer(), 70.0))
        self.assertEqual(self.here.history()[0]["stream"]["state"], "ended")
