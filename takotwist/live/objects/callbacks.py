"""The app's functions that hear of messages and of a live object's life.

Rule: whatever a listener does, the object goes on: an ordinary error is a line
in the log and a generic one for whoever waits for an answer.  `Abort` is no
error but a decision.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextvars import ContextVar, copy_context
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.app.types import failure_text
from takotwist.live.errors import PageLeft
from takotwist.trampoline import drive

_log = Logger()

#: What is being listened to now: the object, and the request under way, if it is one.
listening_to: ContextVar[tuple[object, int] | None] = ContextVar("listening_to", default=None)

#: The object whose `on_close` functions run now.
closing: ContextVar[object | None] = ContextVar("closing", default=None)


def log_failure(what: str, error: BaseException) -> None:
    """One line in the log, with the app's own traceback; none where only a page was left."""
    if isinstance(error, PageLeft):
        return
    _log.error("{what} failed\n{trace}", what=what, trace=failure_text(error, ()))


def accepts_argument(callback: Callable[..., Any]) -> bool:
    """Whether a callback takes an argument: ``on_close`` has one to give."""
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
    callback: Callable[..., Any], arguments: Sequence[Any]
) -> tuple[Any, Deferred[Any] | None]:
    """Call a function of the app.

    :return: its result, or a Deferred where it waits.  What it raises is raised.
    """
    result = callback(*arguments)
    if inspect.isawaitable(result):
        return None, drive(result)
    return result, None


@attrs.define(slots=True, eq=False)
class Round:
    """One message on its way through its listeners.

    :param done: called once with the last listener's value, or with what was raised.
    """

    done: Callable[[Any, BaseException | None], None]

    def one_by_one(
        self, listeners: Sequence[Callable[[Any], Any]], data: Any, owner: object, seq: int
    ) -> None:
        """A request: each is waited for, and the last one's value is the answer."""
        context = copy_context()
        context.run(listening_to.set, (owner, seq))

        rest = iter(listeners)

        def go_on(value: Any) -> None:
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

    def all_at_once(self, listeners: Sequence[Callable[..., Any]], arguments: Any) -> None:
        """A message: all are called in order, and `done` when all have settled."""
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
