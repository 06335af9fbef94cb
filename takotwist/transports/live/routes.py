"""Which address of live objects is answered by what.  Rule: paths are here."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import attrs

from takotwist.errors import UpgradeRequired
from takotwist.transports.live.functions import SESSION_HEADER, LiveFunctions
from takotwist.transports.live.live_leave import MAX_BODY_BYTES, LiveLeave
from takotwist.transports.live.sse import LiveSse

FUNCTIONS = b"/_tako/functions/"
CONNECT = b"/_tako/connect"

#: No wire has this key: theirs are longer.
LEAVE = CONNECT + b"/leave"


@attrs.define(slots=True)
class LiveRoutes:
    """What stands behind the addresses."""

    functions: LiveFunctions
    sse: LiveSse
    leaving: LiveLeave

    def serves(self, path: bytes) -> bool:
        """Whether a path is one of these; `CONNECT` without an upgrade is."""
        return path == CONNECT or path.startswith((FUNCTIONS, CONNECT + b"/"))

    async def answer(self, request: Any) -> None:
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
            self.leaving.leave(request)
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
