"""Routes of live objects, and the endpoint by which a page says that it goes.

Rules: all paths are here.  `LiveLeave` (protocol, live objects, section 4) takes what a
browser can still send while it closes a page: no header of ours, no answer read; whoever
knows a session's secret may end it, so nothing else is asked, and nothing is told.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

import attrs
import msgspec

from takotwist.errors import BodyInvalid, MethodNotAllowed, UpgradeRequired
from takotwist.live.peers import Leave, Peers, tell
from takotwist.live.sessions import LiveSessions
from takotwist.streams.http.interface import BodyRequest
from takotwist.transports.admission import Admission
from takotwist.transports.live.functions import SESSION_HEADER, LiveFunctions, UnsupportedType
from takotwist.transports.live.sse import LiveSse

#: Most bytes of the body.
MAX_BODY_BYTES = 1024


class _Body(msgspec.Struct):
    session: str


_BODY = msgspec.json.Decoder(_Body)


@attrs.define(slots=True)
class LiveLeave:
    """Endpoint for POSTs of pages that go.

    :ivar cost: counts a leave that other nodes are told of as a call of its address.
    :ivar peers: the other nodes, which may hold objects of the page.
    """

    admission: Admission
    sessions: LiveSessions
    cost: Callable[[str], None]
    peers: Peers | None = None

    async def leave(self, request: BodyRequest) -> None:
        """End the live objects of a page.

        :param request: `twisted.web.iweb.IRequest`, nothing written yet, its body whole.
        :raises Refusal: and then nothing has been written.
        """
        self.admission.check_origin(request)
        if request.method != b"POST":
            raise MethodNotAllowed(allow=("POST", "OPTIONS"))
        kind = (request.getHeader("content-type") or "").partition(";")[0].strip().lower()
        if kind not in ("text/plain", "application/json"):
            raise UnsupportedType("Content-Type must be text/plain or application/json.")
        try:
            secret = _BODY.decode(request.content.read()).session
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
            raise BodyInvalid(f"The body must name the session: {bad}.") from None
        self.sessions.leave(secret)
        if self.peers is not None:
            # One small request costs each node a connection.  A page whose leave is not passed
            # on ends there as one that does not come back.
            self.cost(self.admission.address(request))
            for node in await self.peers.others():
                tell(self.peers, Leave(node, secret))
        self.admission.answers.cors(request)
        request.setResponseCode(204)
        request.finish()


FUNCTIONS = b"/_tako/functions/"
CONNECT = b"/_tako/connect"

#: No wire has this key: theirs are longer.
LEAVE = CONNECT + b"/leave"


@attrs.define(slots=True)
class LiveRoutes:
    """The endpoints, by path."""

    functions: LiveFunctions
    sse: LiveSse
    leaving: LiveLeave

    def serves(self, path: bytes) -> bool:
        """Tell whether a path is one of these; `CONNECT` without an upgrade is."""
        return path == CONNECT or path.startswith((FUNCTIONS, CONNECT + b"/"))

    async def answer(self, request: BodyRequest) -> None:
        """Answer a request.

        :raises Refusal: and then nothing has been written.
        """
        path: bytes = request.path
        if request.method == b"OPTIONS":
            self.functions.admission.answers.preflight(request, SESSION_HEADER)
        elif path.startswith(FUNCTIONS):
            name = unquote(path[len(FUNCTIONS) :].decode("latin-1"), errors="replace")
            await self.functions.call(request, name)
        elif path == LEAVE:
            await self.leaving.leave(request)
        elif path != CONNECT:
            await self.sse.post(request, path[len(CONNECT) + 1 :].decode("latin-1"))
        elif "text/event-stream" in (request.getHeader("accept") or ""):
            await self.sse.open(request)
        else:
            raise UpgradeRequired

    def body_limit(self, path: bytes) -> int | None:
        """Most bytes of a body at a path; `None` where it is not one of these."""
        if path.startswith(FUNCTIONS):
            return self.functions.max_body_bytes
        if path == LEAVE:
            return MAX_BODY_BYTES
        if path.startswith(CONNECT + b"/"):
            return self.sse.max_batch_bytes
        return None
