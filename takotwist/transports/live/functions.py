"""Endpoint for calls of functions over HTTP (protocol, live objects, section 2).

Rule: a page of another origin cannot call: its origin is checked, and the
content type and the header of the session are ones that a form cannot send.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from takotwist.errors import BodyInvalid, MethodNotAllowed, ShuttingDown
from takotwist.live.functions.calls import Caller, Calls
from takotwist.streams.http.interface import BodyRequest
from takotwist.transports.admission import Admission
from takotwist.transports.request import header_text, read_all_presented

#: The header with the page's secret.
SESSION_HEADER = "tako-session"


class UnsupportedType(BodyInvalid):
    """The body is of another content type."""

    http_status = 415


@attrs.define(slots=True)
class LiveFunctions:
    """Answers POSTs to functions.

    :ivar cost: counts a call against its caller's rate.
    :ivar max_body_bytes: of one call.
    """

    admission: Admission
    calls: Calls
    cost: Callable[[str], None]
    max_body_bytes: int

    async def call(self, request: BodyRequest, name: str) -> None:
        """Answer a call.

        :param request: `twisted.web.iweb.IRequest`, nothing written yet, its body whole.
        :raises Refusal: and then nothing has been written.
        """
        admission = self.admission
        admission.check_origin(request)
        if request.method != b"POST":
            raise MethodNotAllowed(allow=("POST", "OPTIONS"))
        if admission.draining:
            raise ShuttingDown
        content_type = (request.getHeader("content-type") or "").partition(";")[0].strip().lower()
        if content_type != "application/json":
            raise UnsupportedType("Content-Type must be application/json.")
        address = admission.address(request)
        self.cost(address)
        presented = read_all_presented(request)
        headers = {
            key.decode("latin-1").lower(): header_text(request, key.decode("latin-1")) or ""
            for key, _ in request.requestHeaders.getAllRawHeaders()
        }
        secret = headers.pop(SESSION_HEADER, None)
        caller = Caller(address, secret, headers, presented.cookie)
        status, body = await self.calls.call(name, request.content.read(), caller)
        admission.answers.cors(request)
        admission.answers.json(request, body, status)
