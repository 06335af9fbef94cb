"""Answers that are not the file: a status, one plain line, and the headers that go with it.

An app may bring its own pages by an `ErrorRenderer`; when that fails the plain
line is sent, so an error page can never hide the error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus

from twisted.logger import Logger
from twisted.web.server import Request

#: Makes a page: (request, status) -> (content type, body).
ErrorRenderer = Callable[[Request, int], tuple[str, bytes]]

_log = Logger()


def send_refusal(
    request: Request,
    status: int,
    headers: Iterable[tuple[bytes, bytes]] = (),
    render_error: ErrorRenderer | None = None,
) -> None:
    """Send the whole answer and finish the request.

    It is not to be stored (a 404 in the middle of a deployment is gone a
    second later), whatever `headers` say of the file itself.
    """
    content_type, body = _page(request, status, render_error)
    request.setResponseCode(status)
    for name, value in headers:
        request.setHeader(name, value)
    request.setHeader(b"Cache-Control", b"no-store")
    request.setHeader(b"X-Content-Type-Options", b"nosniff")
    request.setHeader(b"Content-Type", content_type.encode("ascii"))
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.write(body)
    request.finish()


def _page(request: Request, status: int, render_error: ErrorRenderer | None) -> tuple[str, bytes]:
    if render_error is not None:
        try:
            return render_error(request, status)
        except Exception:
            _log.failure("the error page for {status} could not be rendered", status=status)
    line = f"{status} {HTTPStatus(status).phrase}\n"
    return "text/plain; charset=utf-8", line.encode("ascii")
