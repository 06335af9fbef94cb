"""A path on which WebTransport sessions are accepted, and the handler that serves them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine

from attrs import define, field
from twisted.internet.defer import Deferred

from takotwist.streams.webtransport.config import WebTransportConfig
from takotwist.streams.webtransport.request import SessionRequest, valid_path
from takotwist.streams.webtransport.session import WebTransportSession

Handler = Callable[[WebTransportSession], Coroutine[Deferred[object], object, object]]
Admit = Callable[[SessionRequest], Awaitable[int] | int]


@define(eq=False)
class WebTransportRoute:
    """One path.

    :ivar sessions: how many are open on it now, over all connections.
    :ivar ending: sessions that are over, and whose handlers are not.
    """

    path: str
    handler: Handler
    config: WebTransportConfig
    admit: Admit | None = None
    sessions: int = field(default=0, init=False)
    ending: set[WebTransportSession] = field(factory=set, init=False)


def webtransport(
    path: str,
    handler: Handler,
    *,
    config: WebTransportConfig | None = None,
    admit: Admit | None = None,
) -> WebTransportRoute:
    """A route for `Http3Server`.

    :param path: the exact path; the query is the handler's.
    :param handler: ``async def handler(session)``; it awaits Deferreds.  When it
        returns, what it has finished is delivered and the session closed with
        code 0; when it raises, the session is closed with 1011.
    :param admit: asked with the `SessionRequest` before the session is accepted,
        after path, origin and limits: returns 200, or the HTTP status of a
        refusal.  May be a coroutine function.
    :raises ValueError: `path` is not a plain absolute path.
    """
    if not valid_path(path):
        raise ValueError(f"path must be absolute, without query or fragment, not {path!r}")
    return WebTransportRoute(path, handler, config or WebTransportConfig(), admit)
