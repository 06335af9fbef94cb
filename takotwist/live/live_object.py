"""The server's end of a live object: a frame machine with the app's functions around it.

Rule: outputs of the machine are carried out one after the other, never one
inside the other: what a listener sends while it runs comes behind what was
being sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import DeferredList
from twisted.python.failure import Failure

from takotwist.app.declared import to_json
from takotwist.core.deadlines import Deadline
from takotwist.live import callbacks
from takotwist.live.call_context import current_call
from takotwist.live.callbacks import Round, accepts_argument, closing, listening_to, log_failure
from takotwist.live.errors import (
    Abort,
    LiveError,
    UsageError,
    ValidationError,
    as_error,
    as_trouble,
)
from takotwist.live.frames import TIMED_OUT, Frame, Position, Trouble
from takotwist.live.home import Home
from takotwist.live.machine import Machine, Phase
from takotwist.live.message_types import ANYTHING, Direction
from takotwist.live.outcome import Outcome
from takotwist.live.outputs import (
    Answered,
    Broken,
    Deliver,
    Ended,
    Failed,
    Forgotten,
    Opened,
    Output,
    Sent,
    Transmit,
)
from takotwist.live.settings import Bounds

#: Seconds for a graceful close.
CLOSE_TIMEOUT = 5.0

_FAILED = Trouble("failed", None, "The listener failed.")
_NO_LISTENER = Trouble("failed", None, "There is no listener.")


class Carrier(Protocol):
    """The session that an object belongs to, as the object sees it."""

    def transmit(self, one: LiveObject, frame: Frame) -> None:
        """Put a frame on the wire."""

    def forgotten(self, one: LiveObject) -> None:
        """Nothing is left to do for the object."""

    def broken(self, reason: str) -> None:
        """The client broke the protocol."""


class LiveObject:
    """What `Channel` and `BroadcastChannel` have in common.

    :ivar id: names it within its session; empty until it is returned to a client.
    """

    kind = ""
    ack = False

    def __init__(self, buffer_limit: int | None = None) -> None:
        call = current_call()
        self._home: Home | None = None
        self._carrier: Carrier | None = None
        bounds = Bounds() if call is None else call.home.bounds
        self._clock: Callable[[], float] = (lambda: 0.0) if call is None else call.home.seconds
        if buffer_limit is not None:
            if buffer_limit < 0:
                raise UsageError("buffer_limit must be a number of bytes from 0")
            bounds = bounds.with_buffer(buffer_limit)
        self.id = ""
        self._machine = Machine(bounds, self._clock())
        self._texts: list[Callable[[Any], Any]] = []
        self._binaries: list[Callable[[Any], Any]] = []
        self._on_open: list[Callable[[], Any]] = []
        self._on_close: list[Callable[..., Any]] = []
        self._opened = False
        self._error: LiveError | None = None
        self._closed: Outcome[int] | None = None
        self._closers_settled: Outcome[None] | None = None
        self._carrying = False
        self._deadline: Deadline | None = None
        self._deadline_at: float | None = None
        if call is not None:
            call.created.append(self)

    # the app's side

    @property
    def is_closed(self) -> bool:
        """Whether nothing more can be sent."""
        return self._machine.closed

    def on_open(self, callback: Callable[[], Any]) -> None:
        """Call once when the client is there for the first time; now if it has been."""
        if self._opened:
            self._guarded(callback, ())
        elif not self._machine.ended:
            self._on_open.append(callback)

    def on_close(self, callback: Callable[..., Any]) -> None:
        """Call once at the permanent end, with the error or `None`; now if it has ended.

        The callback may take no argument.  A coroutine is waited for by `close`.
        """
        if self._machine.ended:
            self._guarded(callback, self._close_arguments(callback))
        else:
            self._on_close.append(callback)

    def close(self, timeout: float = CLOSE_TIMEOUT) -> Outcome[int]:
        """Close gracefully: what was sent arrives, what was asked is answered.

        :param timeout: seconds for both sides.
        :return: 0 where the client agreed, 1 where the time was up.
        :raises UsageError: the timeout is no number from 0.
        """
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0:
            raise UsageError("timeout must be a number of seconds from 0")
        if closing.get() is self:
            # Its own `on_close` asks: waiting for itself would be for ever.
            return Outcome.of(0 if self._error is None else 1)
        if self._closed is None:
            self._closed = Outcome()
            if self._machine.ended:
                self._settle_close()
            elif self._carrier is None:
                self._act(self._machine.abandon)
            else:
                listening = listening_to.get()
                excused = [listening[1]] if listening and listening[0] is self else []
                self._act(self._machine.close, timeout, self._clock(), excused)
        return self._closed

    def abort(self, value: Any = None, message: str | None = None) -> None:
        """End at once; the client's `onClose` gets an `Abort` with `value`.  Harmless at the end.

        :raises TypeError: JSON has no form for `value`.
        """
        self._end(Abort(value, message))

    # the session's side

    def settle_in(self, home: Home, carrier: Carrier, new_id: str) -> None:
        """A function has returned it: from now on a client may attach."""
        self._home, self._carrier, self.id = home, carrier, new_id
        self._clock = home.seconds
        self._machine.begin(home.seconds())
        self._carry_out()

    def wait_unreturned(self, home: Home) -> None:
        """Its function did not return it: it ends with `NetworkError` unless another one does."""
        self._home, self._clock = home, home.seconds
        self._machine.begin(home.seconds())
        self._carry_out()

    @property
    def outcome(self) -> tuple[Trouble | None] | None:
        """How it ended, for a client that asks after the end; `None` while it can be attached."""
        if self._machine.phase in (Phase.OVER, Phase.FORGOTTEN):
            return (self._machine.outcome,)
        return None

    @property
    def was_attached(self) -> bool:
        """Whether a client has ever been there."""
        return self._machine.phase is not Phase.NEW

    def position(self) -> Position:
        """What this end has."""
        return self._machine.position()

    def attach(self, position: Position) -> None:
        """A wire carries it."""
        self._act(self._machine.attach, position, self._clock())

    def detach(self) -> None:
        """The wire is gone."""
        self._act(self._machine.detach, self._clock())

    def block(self, blocked: bool) -> None:
        """The wire takes no more, or does again."""
        self._act(self._machine.block, blocked, self._clock())

    def report(self) -> None:
        """A ping."""
        self._act(self._machine.report)

    def receive(self, frame: Frame) -> None:
        """A frame has come."""
        self._act(self._machine.receive, frame, self._clock())

    def lose(self, error: LiveError) -> None:
        """End it from outside."""
        self._end(error)

    # inside

    def _send(self, frame: Frame, outcome: Outcome[Any]) -> Outcome[Any]:
        self._act(self._machine.send, frame, outcome, self._clock())
        return outcome

    def _end(self, error: LiveError) -> None:
        self._act(self._machine.end, as_trouble(error), self._clock())

    def _act(self, method: Callable[..., None], *arguments: Any) -> None:
        method(*arguments)
        self._carry_out()

    def _carry_out(self) -> None:
        if self._carrying:
            return
        self._carrying = True
        try:
            while outputs := self._machine.take():
                for output in outputs:
                    self._carry_one(output)
        finally:
            self._carrying = False
        self._watch()

    def _carry_one(self, output: Output) -> None:
        if isinstance(output, Transmit):
            if self._carrier is not None:
                self._carrier.transmit(self, output.frame)
        elif isinstance(output, Deliver):
            self._deliver(output.frame)
        elif isinstance(output, Sent):
            self._outcome(output.handle).resolve(None)
        elif isinstance(output, Answered):
            self._answered(self._outcome(output.handle), output.data)
        elif isinstance(output, Failed):
            self._outcome(output.handle).fail(as_error(output.trouble))
        elif isinstance(output, Opened):
            self._opened = True
            callbacks_, self._on_open = self._on_open, []
            for callback in callbacks_:
                self._guarded(callback, ())
        elif isinstance(output, Ended):
            self._ended(output.trouble)
        elif isinstance(output, Forgotten):
            if self._carrier is not None:
                self._carrier.forgotten(self)
        else:
            assert isinstance(output, Broken)
            if self._carrier is not None:
                self._carrier.broken(output.reason)

    @staticmethod
    def _outcome(handle: object) -> Outcome[Any]:
        assert isinstance(handle, Outcome)
        return handle

    def _answered(self, outcome: Outcome[Any], data: bytes) -> None:
        try:
            outcome.resolve(self._outbound().read_answer(data))
        except ValidationError as misfit:
            outcome.fail(misfit)

    def _inbound(self) -> Direction:
        return ANYTHING

    def _outbound(self) -> Direction:
        return ANYTHING

    def _deliver(self, frame: Frame) -> None:
        listeners = tuple(self._binaries if frame.binary else self._texts)
        if not listeners:
            self._settled(frame, None, _NO_LISTENER)
            return
        data: Any = frame.data
        if not frame.binary:
            try:
                data = self._inbound().read_message(frame.data)
            except ValidationError as misfit:
                self._settled(frame, None, as_trouble(misfit))
                return
        one = Round(lambda value, error: self._listened(frame, value, error))
        if frame.ack:
            one.one_by_one(listeners, data, self, frame.seq)
        else:
            one.all_at_once(listeners, (data,))

    def _listened(self, frame: Frame, value: Any, error: BaseException | None) -> None:
        if isinstance(error, Abort):
            self._end(error)
        elif error is not None:
            log_failure(f"a listener of {self!r}", error)
            self._settled(frame, None, _FAILED)
        else:
            self._settled(frame, value, None)

    def _settled(self, frame: Frame, value: Any, trouble: Trouble | None) -> None:
        if not frame.ack:
            self._act(self._machine.consumed, frame.seq, self._clock())
            return
        data = b""
        if trouble is None:
            try:
                data = to_json(value)
            except (TypeError, ValueError) as unusable:
                log_failure(f"the answer of a listener of {self!r}", unusable)
                trouble = _FAILED
        self._act(self._machine.answer, frame.seq, data, trouble, self._clock())

    def _ended(self, trouble: Trouble | None) -> None:
        self._error = None if trouble is None else as_error(trouble)
        if self._closed is None:
            self._closed = Outcome()
        self._on_open.clear()
        callbacks_, self._on_close = self._on_close, []
        waits = []
        for callback in callbacks_:
            waiting = self._guarded(callback, self._close_arguments(callback))
            if waiting is not None:
                waits.append(waiting)
        self._texts.clear()
        self._binaries.clear()
        if waits:
            DeferredList(waits).addCallback(lambda _: self._settle_close())
        else:
            self._settle_close()

    def _settle_close(self) -> None:
        assert self._closed is not None
        timed_out = self._machine.outcome == TIMED_OUT
        self._closed.resolve(1 if timed_out or self._error is not None else 0)

    def _close_arguments(self, callback: Callable[..., Any]) -> tuple[Any, ...]:
        return (self._error,) if accepts_argument(callback) else ()

    def _guarded(self, callback: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Call; what fails is a line in the log.  A Deferred where it waits."""
        token = closing.set(self) if self._machine.ended else None
        try:
            _, waits = callbacks.call(callback, arguments)
        except Exception as error:
            log_failure(f"a callback of {self!r}", error)
            return None
        finally:
            if token is not None:
                closing.reset(token)
        if waits is not None:
            waits.addErrback(self._callback_failed)
        return waits

    def _callback_failed(self, failure: Failure) -> None:
        assert failure.value is not None
        log_failure(f"a callback of {self!r}", failure.value)

    def _watch(self) -> None:
        """Keep one deadline of the server's table at the machine's own."""
        if self._home is None or self._deadline_at == (when := self._machine.deadline):
            return
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._deadline_at = when
        if when is not None:
            self._deadline = self._home.deadlines.at(when, self._due)

    def _due(self) -> None:
        self._deadline = self._deadline_at = None
        self._act(self._machine.tick, self._clock())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id or 'not returned yet'}>"
