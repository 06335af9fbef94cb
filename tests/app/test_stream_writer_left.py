"""A writer whose coroutine is gone before its message is: cancelled, or closed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.app.stream_call import AppendCall, OpenCall, StreamCall, StreamReply
from takotwist.app.stream_writer import MessageWriter, open_call
from takotwist.errors import StoreUnavailable

Told = Callable[[StreamReply | BaseException], None]


class Line:
    """A way to a server that is answered by hand."""

    def __init__(self) -> None:
        self.asked: list[tuple[StreamCall, Told]] = []
        self.watched = 0

    def now(self) -> float:
        return 0.0

    def ask(self, call: StreamCall, told: Told) -> None:
        self.asked.append((call, told))

    def call_later(self, seconds: float, action: Callable[[], None]) -> Callable[[], object]:
        return lambda: None

    def waiting(self) -> tuple[Awaitable[None], Callable[[], None]]:
        waiting: Deferred[None] = Deferred()
        return waiting, lambda: None if waiting.called else waiting.callback(None)

    def watch(self, id: str, ended: Callable[[str, str], object]) -> Callable[[], None]:
        self.watched += 1

        def forget() -> None:
            self.watched -= 1

        return forget

    def answer(self, answer: StreamReply | BaseException) -> None:
        """Answer the call that is under way."""
        _, told = self.asked[-1]
        told(answer)

    @property
    def calls(self) -> list[str]:
        """What was asked: ``open``, or how an append ends the message."""
        return [
            "open" if isinstance(call, OpenCall) else getattr(call, "end", "renew")
            for call, _ in self.asked
        ]


class LeftTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.line = Line()

    async def write(self) -> None:
        """The app's block."""
        call = open_call("answer", "text", "a", None, False)
        async with MessageWriter(lambda: self.line, call) as out:
            await out.write("He")
            await Deferred()

    def test_while_it_is_opened(self) -> None:
        """What is open by then is ended as failed, so that nobody waits for its lease to end."""
        writing = Deferred.fromCoroutine(self.write())
        writing.cancel()
        self.failureResultOf(writing, CancelledError)
        self.line.answer(StreamReply(opened="7", epoch=3))
        self.assertEqual(self.line.calls, ["open", "failed"])
        [_, (call, _)] = self.line.asked
        assert isinstance(call, AppendCall)
        self.assertEqual((call.epoch, call.seq, call.values), (3, 0, b""))
        self.line.answer(StreamReply())
        self.assertEqual(len(self.line.asked), 2)

    def test_while_it_is_refused(self) -> None:
        """What was never opened needs no end."""
        writing = Deferred.fromCoroutine(self.write())
        writing.cancel()
        self.failureResultOf(writing, CancelledError)
        self.line.answer(StoreUnavailable())
        self.assertEqual(self.line.calls, ["open"])

    def test_closed(self) -> None:
        """A coroutine that is closed watches for nothing any more, and its message ends."""
        writing: Any = self.write()
        writing.send(None)
        self.line.answer(StreamReply(opened="7"))
        writing.send(None)
        self.assertEqual(self.line.watched, 1)
        self.line.answer(StreamReply())
        writing.close()
        self.assertEqual((self.line.watched, self.line.calls), (0, ["open", "", "failed"]))
