"""Admission of a new request: served, a session, or refused before anybody hears of it."""

from __future__ import annotations

from typing import Protocol

from aioquic.h3.connection import ErrorCode

from takotwist.streams.http3.link import Header, Link, Sessions

#: The `:protocol` of an extended CONNECT: up to draft 14, and from draft 15 on.
WEBTRANSPORT_TOKENS = (b"webtransport", b"webtransport-h3")


#: Of the answer 431.
HEAD_TOO_LARGE = "The request's head is too large."


class Application(Protocol):
    """The application behind a connection."""

    def request(self, link: Link, stream_id: int, headers: list[Header]) -> None:
        """A plain request arrived: answer it, or `Link.serve` the stream."""

    def refuse(self, link: Link, stream_id: int, status: int, sentence: str) -> None:
        """Answer a request that is served by nobody."""

    def sessions(self, link: Link) -> Sessions | None:
        """The WebTransport sessions of a new connection; `None` where there are none."""


def begin_request(
    link: Link,
    stream_id: int,
    headers: list[Header],
    *,
    application: Application,
    sessions: Sessions | None,
    max_header_bytes: int,
    draining: bool,
) -> None:
    """Begin the request that `headers` opens, or refuse it.

    :param max_header_bytes: of the fields decoded, 32 more for each (RFC 9114 section 4.2.2).
    :param draining: whether the connection takes no new requests.
    """
    fields = dict(headers)
    size = sum(len(name) + len(value) + 32 for name, value in headers)
    if draining:
        link.reset(stream_id, ErrorCode.H3_REQUEST_REJECTED)
        link.stop(stream_id, ErrorCode.H3_REQUEST_REJECTED)
    elif size > max_header_bytes:
        application.refuse(link, stream_id, 431, HEAD_TOO_LARGE)
    elif fields[b":method"] != b"CONNECT":
        application.request(link, stream_id, headers)
    elif sessions is None or fields.get(b":protocol") not in WEBTRANSPORT_TOKENS:
        application.refuse(link, stream_id, 501, "Only WebTransport sessions are opened here.")
    else:
        sessions.connect(stream_id, headers)
