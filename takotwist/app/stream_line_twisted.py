"""A writer's way to a server, under a reactor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import attrs
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime

from takotwist.app.stream_call import StreamCall, StreamReply
from takotwist.app.stream_wire import read_reply

if TYPE_CHECKING:
    # A server whose code runs in its own process needs no HTTP client.
    from takotwist.app.awaited_exchange import Request
    from takotwist.app.http_exchange_twisted import TwistedExchange


@attrs.frozen(slots=True)
class ReactorTime:
    """The time of a `StreamLine`, whatever way its calls go."""

    _reactor: IReactorTime

    def now(self) -> float:
        """See `StreamLine`."""
        seconds: float = self._reactor.seconds()
        return seconds

    def call_later(self, seconds: float, action: Callable[[], None]) -> Callable[[], object]:
        """See `StreamLine`."""
        later = self._reactor.callLater(seconds, action)
        return lambda: later.cancel() if later.active() else None


@attrs.frozen(slots=True)
class TwistedLine(ReactorTime):
    """To a server elsewhere.  See `StreamLine`.

    :param request: the HTTP request of a call, by the time of the exchange.
    """

    _exchange: TwistedExchange
    _request: Callable[[StreamCall, float], Request]

    def ask(self, call: StreamCall, told: Callable[[StreamReply | BaseException], None]) -> None:
        """See `StreamLine`."""
        asked = maybeDeferred(self._request, call, self._exchange.now()).addCallback(
            lambda request: ensureDeferred(self._exchange.answered(request, read_reply))
        )
        asked.addCallbacks(told, lambda failure: told(failure.value))

    def waiting(self) -> tuple[Awaitable[None], Callable[[], None]]:
        """See `StreamLine`."""
        waiting: Deferred[None] = Deferred()
        return waiting, lambda: None if waiting.called else waiting.callback(None)

    def watch(self, id: str, ended: Callable[[str, str], object]) -> Callable[[], None]:
        """See `StreamLine`: its calls are all that says so."""
        return lambda: None
