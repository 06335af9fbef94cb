"""Callbacks of the app: dispatch of a message to its listeners, `on_open` and `on_close`.

Rules: whatever a callback does, the object goes on: an ordinary error is a line in the
log, and a generic one for whoever waits for an answer; `Abort` is no error but a
decision.  Each `on_open` and `on_close` is called once, also one that is added late; and
`close` is done when all of `on_close` are, or have taken too long.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextvars import ContextVar, copy_context
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.app.types import failure_text
from takotwist.core.deadlines import Deadline
from takotwist.live.errors import LiveError, PageLeft
from takotwist.live.objects.outcome import Outcome
from takotwist.trampoline import drive

_log = Logger()

#: The object and sequence number of the request whose listener runs now; `None` outside one.
listening_to: ContextVar[tuple[object, int] | None] = ContextVar("listening_to", default=None)

#: The object whose `on_close` functions run now.
closing: ContextVar[object | None] = ContextVar("closing", default=None)


def log_failure(what: str, error: BaseException) -> None:
    """One line in the log, with the app's own traceback; none where only a page was left."""
    if isinstance(error, PageLeft):
        return
    _log.error("{what} failed\n{trace}", what=what, trace=failure_text(error, ()))


def accepts_argument(callback: Callable[..., object]) -> bool:
    """Tell whether a callback takes an argument: ``on_close`` has one to give."""
    try:
        signature = inspect.signature(callback)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(None)
    except TypeError:
        return False
    return True


def call(
    callback: Callable[..., object], arguments: Sequence[object]
) -> tuple[object, Deferred[object] | None]:
    """Call a function of the app.

    :return: its result, or a Deferred where it waits.  What it raises is raised.
    """
    result = callback(*arguments)
    if inspect.isawaitable(result):
        return None, drive(result)
    return result, None


@attrs.define(slots=True, eq=False)
class Dispatch:
    """Dispatch of one message to its listeners.

    :param done: called once with the last listener's value, or with what was raised.
    """

    done: Callable[[Any, BaseException | None], None]

    def one_by_one(
        self, listeners: Sequence[Callable[[object], object]], data: object, owner: object, seq: int
    ) -> None:
        """Dispatch a request: each is awaited in turn, and the last one's value is the answer."""
        context = copy_context()
        context.run(listening_to.set, (owner, seq))

        rest = iter(listeners)

        def go_on(value: object) -> None:
            for listener in rest:
                try:
                    value, waits = context.run(call, listener, (data,))
                except Exception as error:
                    self.done(None, error)
                    return
                if waits is not None:
                    waits.addCallbacks(go_on, lambda failure: self.done(None, failure.value))
                    waits.addErrback(_unexpected)
                    return
            self.done(value, None)

        go_on(None)

    def all_at_once(
        self, listeners: Sequence[Callable[..., object]], arguments: tuple[object, ...]
    ) -> None:
        """Dispatch a message: all are called in order, and `done` when all have settled."""
        left = 1
        first: BaseException | None = None

        def settled(error: BaseException | None) -> None:
            nonlocal left, first
            first = first or error
            left -= 1
            if left == 0:
                self.done(None, first)

        for listener in listeners:
            try:
                _, waits = call(listener, arguments)
            except Exception as error:
                left += 1
                settled(error)
                continue
            if waits is not None:
                left += 1
                waits.addCallbacks(lambda _: settled(None), lambda failure: settled(failure.value))
                waits.addErrback(_unexpected)
        settled(None)


def _unexpected(failure: Failure) -> None:
    _log.failure("a message could not be dispatched", failure)


@attrs.define(slots=True, eq=False)
class LifetimeCallbacks:
    """The `on_open` and `on_close` of one object, and the outcome of its `close`.

    :ivar owner: the object.
    :ivar patience: starts the timeout of `on_close`; `None` where there is no clock, because no
        server has the object.
    :ivar opened: a client has attached once.
    :ivar ended: the object is over.
    :ivar error: why it ended, `None` for a graceful end.
    :ivar closed: the outcome of `close`; `None` while nobody has asked.
    """

    owner: object
    patience: Callable[[Callable[[], None]], Deadline | None]
    opened: bool = attrs.field(default=False, init=False)
    ended: bool = attrs.field(default=False, init=False)
    error: LiveError | None = attrs.field(default=None, init=False)
    closed: Outcome[int] | None = attrs.field(default=None, init=False)
    _on_open: list[Callable[[], object]] = attrs.field(factory=list, init=False)
    _on_close: list[Callable[..., object]] = attrs.field(factory=list, init=False)

    def on_open(self, callback: Callable[[], object]) -> None:
        """Call once when a client attaches for the first time; now if one has."""
        if self.opened:
            self._guarded(callback, ())
        elif not self.ended:
            self._on_open.append(callback)

    def on_close(self, callback: Callable[..., object]) -> None:
        """Call once at the permanent end; now if it has ended."""
        if self.ended:
            self._guarded(callback, self._arguments(callback))
        else:
            self._on_close.append(callback)

    def open(self) -> None:
        """Call `on_open`: a client has attached for the first time."""
        self.opened = True
        waiting, self._on_open = self._on_open, []
        for callback in waiting:
            self._guarded(callback, ())

    def end(self, error: LiveError | None) -> None:
        """Call `on_close`, and settle `close` when they are done."""
        self.ended, self.error = True, error
        if self.closed is None:
            self.closed = Outcome()
        self._on_open.clear()
        waiting, self._on_close = self._on_close, []
        waits = [self._guarded(callback, self._arguments(callback)) for callback in waiting]
        unfinished = [one for one in waits if one is not None]
        if not unfinished:
            self._settle(self.result())
            return
        late = self.patience(lambda: self._settle(1))

        def done(_: object) -> None:
            if late is not None:
                late.cancel()
            self._settle(self.result())

        DeferredList(unfinished).addCallback(done)

    def result(self) -> int:
        """The result of `close`: 0 for a graceful end, else 1."""
        return 0 if self.error is None else 1

    def _settle(self, code: int) -> None:
        assert self.closed is not None
        self.closed.resolve(code)

    def _arguments(self, callback: Callable[..., object]) -> tuple[object, ...]:
        return (self.error,) if accepts_argument(callback) else ()

    def _guarded(
        self, callback: Callable[..., object], arguments: tuple[object, ...]
    ) -> Deferred[object] | None:
        """Call and log a failure.  A Deferred where the callback is a coroutine."""
        token = closing.set(self.owner) if self.ended else None
        try:
            _, waits = call(callback, arguments)
        except Exception as error:
            log_failure(f"a callback of {self.owner!r}", error)
            return None
        finally:
            if token is not None:
                closing.reset(token)
        if waits is not None:
            waits.addErrback(self._failed)
        return waits

    def _failed(self, failure: Failure) -> None:
        assert failure.value is not None
        log_failure(f"a callback of {self.owner!r}", failure.value)
