"""A page says that it goes, by itself (protocol, live objects, section 4).

What a browser can still send while it closes a page: no header of ours, no
answer read.  Rule: whoever knows a session's secret may end it, so nothing else
is asked, and nothing is told.
"""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from takotwist.errors import BodyInvalid, MethodNotAllowed
from takotwist.live.sessions import LiveSessions
from takotwist.transports.admission import Admission
from takotwist.transports.live.functions import UnsupportedType

#: Most bytes of the body.
MAX_BODY_BYTES = 1024


class _Body(msgspec.Struct):
    session: str


_BODY = msgspec.json.Decoder(_Body)


@attrs.define(slots=True)
class LiveLeave:
    """Answers POSTs of pages that go."""

    admission: Admission
    sessions: LiveSessions

    def leave(self, request: Any) -> None:
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
        self.admission.answers.cors(request)
        request.setResponseCode(204)
        request.finish()
