"""The call that a function runs for: `context()`.

Rule: it is there while the function runs and not later; what a listener needs
of it the function keeps in a variable.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Protocol, TypeVar

import attrs

from takotwist.live.errors import LiveError, UsageError
from takotwist.live.services import LiveServices


class Created(Protocol):
    """A live object, as far as the call that makes it needs it.

    :ivar id: empty until it is returned to a client.
    """

    id: str

    def wait_unreturned(self, services: LiveServices) -> None:
        """Start the attach timeout."""

    def lose(self, error: LiveError) -> None:
        """End it: the call has failed."""


@attrs.frozen(slots=True)
class CallContext:
    """One call.

    :ivar function: its name on the wire.
    :ivar request_id: names the call in logs.
    :ivar subject: who calls, as `verify` said; `None` without one.
    :ivar address: the caller's, proxies looked through.
    :ivar headers: of the request, by lower-case name.
    """

    function: str
    request_id: str
    subject: str | None
    address: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    _cookie: Callable[[str], str | None] = attrs.field(repr=False)

    def header(self, name: str) -> str | None:
        """One header of the request."""
        return self.headers.get(name.lower())

    def cookie(self, name: str) -> str | None:
        """One cookie of the request."""
        return self._cookie(name)


@attrs.define(slots=True, eq=False)
class RunningCall:
    """An in-flight call.

    :ivar created: the live objects that it has made.
    :ivar left: its caller has left meanwhile.
    """

    services: LiveServices
    context: CallContext
    created: list[Created] = attrs.field(factory=list)
    left: bool = False


T = TypeVar("T")

_running: ContextVar[RunningCall | None] = ContextVar("running", default=None)


def current_call() -> RunningCall | None:
    """The call whose function runs now."""
    return _running.get()


def run_in(running: RunningCall, function: Callable[[], T]) -> T:
    """Call `function` within a call; also what it starts before it returns."""
    token = _running.set(running)
    try:
        return function()
    finally:
        _running.reset(token)


async def wait_in(running: RunningCall, function: Callable[[], Awaitable[T]]) -> T:
    """Await `function` within a call.  Run it in a context of its own."""
    _running.set(running)
    return await function()


def context() -> CallContext:
    """The call that runs now.

    :raises UsageError: none does.  A listener runs later than its function.
    """
    running = _running.get()
    if running is None:
        raise UsageError(
            "context() works while a function runs; keep what a listener needs in a variable"
        )
    return running.context
