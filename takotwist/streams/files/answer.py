"""From a request's headers and a file's facts to the whole answer, without doing anything.

RFC 9110, sections 13 to 15.  Pure: the order of the steps is the order of
section 13.2.2, and whoever carries the answer out decides nothing more.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from takotwist.streams.files.conditions import (
    Conditions,
    Current,
    Outcome,
    evaluate,
    range_applies,
)
from takotwist.streams.files.headers import format_http_date
from takotwist.streams.files.negotiate import IDENTITY
from takotwist.streams.files.ranges import Selection, Span, select
from takotwist.streams.files.validators import ETag

#: A piece of a body: ready bytes, or a piece of the file.
Piece = bytes | Span
Headers = list[tuple[bytes, bytes]]


@attrs.frozen
class Representation:
    """The facts of what would be sent.

    :ivar size: bytes.
    :ivar modified: whole seconds since the epoch.
    :ivar content_type: of the original, whatever the coding.
    :ivar coding: content coding.
    """

    size: int
    etag: ETag
    modified: int
    content_type: bytes
    coding: str = IDENTITY


@attrs.frozen
class Answer:
    """What to send.

    :ivar headers: all but Date and Server.  For a status from 400 on, what belongs to the
        refusal; its body is made elsewhere.
    :ivar body: the pieces in order; empty for a refusal.
    :ivar length: bytes of the body together.
    """

    status: int
    headers: Headers
    body: tuple[Piece, ...] = ()
    length: int = 0


def answer(
    conditions: Conditions,
    range_header: bytes | None,
    current: Representation,
    headers: Headers,
    now: float,
    boundary: Callable[[], bytes],
) -> Answer:
    """The answer to a GET, or to a HEAD, whose body is then not sent.

    :param range_header: `None` where absent and for HEAD (section 14.2: only GET has ranges).
    :param headers: what this file carries on every answer: Cache-Control, Vary and so on.
    :param now: seconds since the epoch.
    :param boundary: makes a boundary for a body of several parts.
    """
    validators = Current(current.etag, current.modified)
    outcome = evaluate(conditions, validators, now)
    if outcome is Outcome.FAILED:
        return Answer(412, list(headers))
    # Never later than the Date that goes out beside it (section 8.8.2.1).
    modified = format_http_date(min(current.modified, now))
    described = [*headers, (b"ETag", bytes(current.etag)), (b"Last-Modified", modified)]
    if outcome is Outcome.NOT_MODIFIED:
        return Answer(304, described)
    if current.coding != IDENTITY:
        described.append((b"Content-Encoding", current.coding.encode("ascii")))
    described.append((b"Accept-Ranges", b"bytes"))
    selected: Selection | tuple[Span, ...] = Selection.WHOLE
    if range_header is not None and range_applies(conditions, validators, now):
        selected = select(range_header, current.size)
    if selected is Selection.UNSATISFIABLE:
        unsatisfied = (b"Content-Range", b"bytes */%d" % current.size)
        return Answer(416, [*headers, (b"Accept-Ranges", b"bytes"), unsatisfied])
    if isinstance(selected, Selection):
        whole = (Span(0, current.size),) if current.size else ()
        typed = (b"Content-Type", current.content_type)
        return Answer(200, [*described, typed], whole, current.size)
    if len(selected) == 1:
        return _one_part(selected[0], current, described)
    return _several_parts(selected, current, described, boundary())


def _one_part(span: Span, current: Representation, headers: Headers) -> Answer:
    headers.append((b"Content-Type", current.content_type))
    headers.append((b"Content-Range", _content_range(span, current.size)))
    return Answer(206, headers, (span,), len(span))


def _several_parts(
    spans: tuple[Span, ...], current: Representation, headers: Headers, boundary: bytes
) -> Answer:
    """A ``multipart/byteranges`` body (section 14.6); Content-Range stands in the parts only."""
    pieces: list[Piece] = []
    line_end = b""
    for span in spans:
        content_range = _content_range(span, current.size)
        pieces.append(
            b"%s--%s\r\nContent-Type: %s\r\nContent-Range: %s\r\n\r\n"
            % (line_end, boundary, current.content_type, content_range)
        )
        pieces.append(span)
        line_end = b"\r\n"
    pieces.append(b"\r\n--%s--\r\n" % boundary)
    headers.append((b"Content-Type", b"multipart/byteranges; boundary=" + boundary))
    return Answer(206, headers, tuple(pieces), sum(map(len, pieces)))


def _content_range(span: Span, size: int) -> bytes:
    return b"bytes %d-%d/%d" % (span.start, span.stop - 1, size)
