"""What a request asks for: its headers as values, with repeated lines settled.

RFC 9110, section 5.3.  A list may be spread over several lines; anything else
that is there twice contradicts itself and counts as absent.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.web.server import Request

from takotwist.streams.files.conditions import Conditions


def conditions_of(request: Request) -> Conditions:
    """The conditional headers.  If-Range is joined so that two of them match nothing."""
    header = request.requestHeaders.getRawHeaders
    return Conditions(
        if_match=joined(header(b"If-Match")),
        if_unmodified_since=single(header(b"If-Unmodified-Since")),
        if_none_match=joined(header(b"If-None-Match")),
        if_modified_since=single(header(b"If-Modified-Since")),
        if_range=joined(header(b"If-Range")),
    )


def joined(lines: Sequence[bytes] | None) -> bytes | None:
    """The value of a header that is a list, repeated lines put together (section 5.3)."""
    return b",".join(lines) if lines else None


def single(lines: Sequence[bytes] | None) -> bytes | None:
    """The value of a header that is no list; repeated, it is malformed and ignored."""
    return lines[0] if lines and len(lines) == 1 else None
