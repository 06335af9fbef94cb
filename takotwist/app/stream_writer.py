"""Writers of streamed messages: for coroutines on any loop, and for plain functions.

::

    async with chat(room_id="lobby").stream("answer") as out:
        async for token in model:
            await out.write(token)

Rules: the end of the block ends the message, as failed where the block raises; and a page that
cancels ends the block, in silence, because that is what was asked for.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Protocol

from takotwist.app.stream_call import OpenCall, StreamCall, StreamLine, StreamReply
from takotwist.app.stream_machine import GATHER_SECONDS, StreamMachine
from takotwist.app.types import to_json
from takotwist.codecs.plain_json import ENCODING_ERRORS, failed_in
from takotwist.codecs.query import MAX_ERROR_LENGTH
from takotwist.errors import BodyInvalid, ParamsInvalid, StreamEnded

Of = Literal["text", "values"]


def open_call(type: str, of: Of, id: str | None, meta: object, resume: bool) -> OpenCall:
    """The opening of a message.

    :raises BodyInvalid: :raises ParamsInvalid: names what cannot be.
    """
    if of not in ("text", "values"):
        raise ParamsInvalid(f"of must be 'text' or 'values', not {of!r}.")
    try:
        said = to_json(meta)
    except ENCODING_ERRORS as failed:
        raise BodyInvalid(f"{failed_in(meta, 'meta', to_json, failed)}.") from None
    key = uuid.uuid4().hex
    return OpenCall(id or key[:16], type, key, of == "text", said, resume)


class _Writer:
    """Common part of the writers."""

    def __init__(self, call: OpenCall, gather: float) -> None:
        self._call = call
        self._machine = StreamMachine(call.id, call.text, gather)
        self._on_cancel: list[Callable[[], object]] = []
        self._told = False
        #: Names the message within its topic; the same in its opening and its final message.
        self.id = call.id
        #: Id of the opening message; empty until it is open.
        self.opened = ""
        #: Bytes of JSON that were there already, where it was taken over.
        self.resumed = 0

    @property
    def cancelled(self) -> bool:
        """`True` where somebody who reads has ended it."""
        return self._machine.cancelled

    def on_cancel(self, action: Callable[[], object]) -> None:
        """Have `action` called, once, when a page cancels: such as the `cancel` of a task."""
        if self._told:
            action()
        else:
            self._on_cancel.append(action)

    def _begun(self, reply: StreamReply, now: float) -> None:
        self.opened, self.resumed = reply.opened, reply.size
        self._machine.opened(reply, now)

    def _tell(self) -> None:
        """Call what is to be called when a page cancels."""
        if self._machine.cancelled and not self._told:
            self._told = True
            for action in self._on_cancel:
                action()

    def _hides(self, error: BaseException | None) -> bool:
        """Tell whether an error that leaves the block is only our own report of the cancelling."""
        return isinstance(error, StreamEnded) and error is self._machine.error and self.cancelled

    def _check_end(self) -> None:
        if not self.cancelled:
            self._machine.check()


class MessageWriter(_Writer):
    """Writes one streamed message; an asynchronous context manager.

    :ivar id: of the message.
    """

    def __init__(
        self, line: Callable[[], StreamLine], call: OpenCall, gather: float = GATHER_SECONDS
    ) -> None:
        super().__init__(call, gather)
        self._make_line = line
        self._waiting: list[Callable[[], None]] = []
        self._timer: Callable[[], object] = lambda: None
        self._unwatch: Callable[[], None] = lambda: None

    async def __aenter__(self) -> MessageWriter:
        self._line = line = self._make_line()
        answered: list[StreamReply | BaseException] = []
        left = False
        waiting, done = line.waiting()

        def told(answer: StreamReply | BaseException) -> None:
            answered.append(answer)
            done()
            if left and not isinstance(answer, BaseException):
                # As a block that raises: a reader would wait for a writer that never comes.
                self._begun(answer, line.now())
                self._machine.end("failed")
                self._go()

        line.ask(self._call, told)
        try:
            await waiting
        except BaseException:
            left = True
            if answered:
                told(answered.pop())
            raise
        [answer] = answered
        if isinstance(answer, BaseException):
            raise answer
        self._begun(answer, line.now())
        self._unwatch = line.watch(self.id, self._ended)
        self._go()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._machine.end("ended" if error is None else "failed")
        self._go()
        if isinstance(error, GeneratorExit):
            # Nothing can be awaited any more: what is under way goes on by itself.
            self._unwatch()
            return False
        try:
            await self._wait_until(lambda: self._machine.over)
        finally:
            self._unwatch()
            self._timer()
        if error is None:
            self._check_end()
        return self._hides(error)

    async def write(self, value: object) -> None:
        """Append text; in a message of values any value that JSON can carry.

        Returns at once, as long as not very much waits to be sent.

        :raises BodyInvalid: it cannot be appended.
        :raises StreamEnded: the message has ended: a page has cancelled it, or its time was over.
        :raises StreamTaken: another writer has taken it over.
        :raises MessageTooLarge: there is more than a message may have.
        :raises Unreachable: the server could not be reached, after retries.
        """
        self._machine.write(value)
        self._go()
        if self._machine.full:
            await self._wait_until(lambda: not self._machine.full)

    async def flush(self) -> None:
        """Wait until all that was written is stored.  :raises: as `write`."""
        await self._wait_until(lambda: self._machine.stored)
        self._machine.check()

    async def end(self) -> None:
        """End it, before the block does.  :raises: as `write`."""
        await self._end("ended", "")

    async def fail(self, error: str = "") -> None:
        """End it as failed.

        :param error: a sentence for people; readers see it.
        """
        await self._end("failed", error[:MAX_ERROR_LENGTH])

    async def _end(self, how: str, error: str) -> None:
        self._machine.end(how, error)
        self._go()
        await self._wait_until(lambda: self._machine.over)
        self._check_end()

    async def _wait_until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            waiting, done = self._line.waiting()
            self._waiting.append(done)
            await waiting

    def _go(self) -> None:
        """Send what is to be sent, or come again when it is."""
        self._timer()
        step = self._machine.next(self._line.now())
        if isinstance(step, float):
            self._timer = self._line.call_later(step, self._go)
        elif step is not None:
            self._line.ask(step, self._answered)

    def _answered(self, answer: StreamReply | BaseException) -> None:
        self._machine.answered(answer)
        self._changed()
        self._go()

    def _ended(self, how: str, reason: str) -> None:
        if how == "cancelled":
            self._machine.failed(StreamEnded(how=how, reason=reason))
            self._changed()

    def _changed(self) -> None:
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done()
        self._tell()


class Ask(Protocol):
    """A call that blocks until it is answered."""

    def __call__(self, call: StreamCall) -> StreamReply: ...


class BlockingMessageWriter(_Writer):
    """Writes one streamed message from a plain function; a context manager.

    A thread of its own sends what gathers, and says that the writer is there.
    """

    def __init__(self, ask: Ask, call: OpenCall, gather: float = GATHER_SECONDS) -> None:
        super().__init__(call, gather)
        self._ask = ask
        self._state = threading.Condition()
        self._thread = threading.Thread(target=self._send, name=f"stream {call.id}", daemon=True)

    def __enter__(self) -> BlockingMessageWriter:
        self._begun(self._ask(self._call), time.monotonic())
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        with self._state:
            self._machine.end("ended" if error is None else "failed")
            self._state.notify_all()
        self._thread.join()
        if error is None:
            self._check_end()
        return self._hides(error)

    def write(self, value: object) -> None:
        """As `MessageWriter.write`."""
        with self._state:
            self._machine.write(value)
            self._state.notify_all()
            self._state.wait_for(lambda: not self._machine.full)

    def flush(self) -> None:
        """As `MessageWriter.flush`."""
        with self._state:
            self._state.wait_for(lambda: self._machine.stored)
            self._machine.check()

    def end(self) -> None:
        """As `MessageWriter.end`."""
        self._end("ended", "")

    def fail(self, error: str = "") -> None:
        """As `MessageWriter.fail`."""
        self._end("failed", error[:MAX_ERROR_LENGTH])

    def _end(self, how: str, error: str) -> None:
        with self._state:
            self._machine.end(how, error)
            self._state.notify_all()
            self._state.wait_for(lambda: self._machine.over)
        self._check_end()

    def _send(self) -> None:
        machine, state = self._machine, self._state
        while True:
            with state:
                step = machine.next(time.monotonic())
                if step is None:
                    return
                if isinstance(step, float):
                    state.wait(step)
                    continue
            answer: StreamReply | BaseException
            try:
                answer = self._ask(step)
            except Exception as failed:
                answer = failed
            with state:
                machine.answered(answer)
                state.notify_all()
            self._tell()
