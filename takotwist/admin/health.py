"""Health of the server: liveness and readiness, for monitoring and load balancers.

Rule: "ready" means that who comes now is served, so it is not said while the log is away.  A log
that can be read and not written is told apart: subscribers are served.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import msgspec
from twisted.web.resource import Resource

if TYPE_CHECKING:
    # Not when it runs: `tako health` is called every few seconds, and reads this file alone.
    from takotwist.streams.http.interface import BodyRequest

#: Path of the page.
HEALTH_PATH = "/_tako/health"


@attrs.frozen(slots=True)
class Health:
    """State of the server.

    :ivar ready: true while it serves new connections, for which it needs the replay log.
    :ivar store: true if the replay log is there and its last write went well.
    :ivar ids_ahead: by how many seconds the newest id is ahead of the clock.
    """

    ready: bool
    store: bool
    ids_ahead: int = 0

    @classmethod
    def of(cls, serving: bool, log_there: bool, storing: bool, ids_ahead: int = 0) -> Health:
        """The state of a server.

        :param serving: it has started, and does not stop.
        :param log_there: see `IReplayLog.available`.
        :param storing: see `PublisherService.storing`.
        """
        return cls(serving and log_there, storing, ids_ahead)


class HealthPage(Resource):
    """``GET /_tako/health``: 200 when ready, else 503.

    With ``?live`` it is 200 whenever the process answers at all: what restarts a
    process should ask that, and what sends traffic to it should not.
    """

    isLeaf = True

    def __init__(self, health: Callable[[], Health]) -> None:
        Resource.__init__(self)
        self._health = health

    def render_GET(self, request: BodyRequest) -> bytes:
        """Implement `IResource`."""
        health = self._health()
        if not health.ready and b"live" not in request.args:
            request.setResponseCode(503)
            request.setHeader(b"Retry-After", b"1")
        request.setHeader(b"Content-Type", b"application/json")
        request.setHeader(b"Cache-Control", b"no-store")
        said: dict[str, object] = {
            "live": True,
            "ready": health.ready,
            "store": "available" if health.store else "unavailable",
        }
        if health.ids_ahead:
            said["ids_ahead_seconds"] = health.ids_ahead
        return msgspec.json.encode(said)
