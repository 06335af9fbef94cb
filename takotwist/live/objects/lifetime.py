"""The app's functions that hear of a live object's beginning and end.

Rule: each is called once, also one that comes late; and `close` is done when
all of them are, or have taken too long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from takotwist.core.deadlines import Deadline
from takotwist.live.errors import LiveError
from takotwist.live.objects import callbacks
from takotwist.live.objects.callbacks import accepts_argument, closing, log_failure
from takotwist.live.objects.outcome import Outcome


@attrs.define(slots=True, eq=False)
class Lifetime:
    """The life of one object, as its app sees it.

    :ivar owner: the object.
    :ivar patience: calls when the functions at the end have taken too long; `None` where there
        is no clock, because no server has it.
    :ivar opened: whether a client has ever been there.
    :ivar ended: whether it is over.
    :ivar error: why it ended, `None` for a graceful end.
    :ivar closed: what `close` comes to; `None` while nobody has asked.
    """

    owner: object
    patience: Callable[[Callable[[], None]], Deadline | None]
    opened: bool = attrs.field(default=False, init=False)
    ended: bool = attrs.field(default=False, init=False)
    error: LiveError | None = attrs.field(default=None, init=False)
    closed: Outcome[int] | None = attrs.field(default=None, init=False)
    _on_open: list[Callable[[], Any]] = attrs.field(factory=list, init=False)
    _on_close: list[Callable[..., Any]] = attrs.field(factory=list, init=False)

    def on_open(self, callback: Callable[[], Any]) -> None:
        """Call once when a client is there for the first time; now if one has been."""
        if self.opened:
            self._guarded(callback, ())
        elif not self.ended:
            self._on_open.append(callback)

    def on_close(self, callback: Callable[..., Any]) -> None:
        """Call once at the permanent end; now if it has ended."""
        if self.ended:
            self._guarded(callback, self._arguments(callback))
        else:
            self._on_close.append(callback)

    def open(self) -> None:
        """A client is there for the first time."""
        self.opened = True
        waiting, self._on_open = self._on_open, []
        for callback in waiting:
            self._guarded(callback, ())

    def end(self, error: LiveError | None) -> None:
        """It is over."""
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
        """What `close` gives at the end."""
        return 0 if self.error is None else 1

    def _settle(self, code: int) -> None:
        assert self.closed is not None
        self.closed.resolve(code)

    def _arguments(self, callback: Callable[..., Any]) -> tuple[Any, ...]:
        return (self.error,) if accepts_argument(callback) else ()

    def _guarded(
        self, callback: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> Deferred[Any] | None:
        """Call; what fails is a line in the log.  A Deferred where it waits."""
        token = closing.set(self.owner) if self.ended else None
        try:
            _, waits = callbacks.call(callback, arguments)
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
