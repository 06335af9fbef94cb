"""The whole answer to a GET or HEAD of one file, by RFC 9110, sections 13 to 15, Range included.

Pure: from a request's headers and a file's facts to status, headers and pieces of a body.
The order of the steps is the order of section 13.2.2, and whoever carries the answer out
decides nothing more.

Ranges (section 14) are read, fitted to the file, and joined where that is cheaper.  A header
that is not of the grammar is ignored as a whole, never half obeyed; its cost is bounded by
`MAX_RANGES` and by joining, so no list of ranges is served as more bytes than the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum

import attrs

from takotwist.streams.files.conditions import (
    Conditions,
    Current,
    ETag,
    Outcome,
    evaluate,
    range_applies,
)
from takotwist.streams.files.headers import IDENTITY, format_http_date

#: A header with more ranges than this is answered as if it were absent (section 14.2 allows that).
MAX_RANGES = 64

#: Ranges with a gap below this are joined: the head of another part would cost as much.
JOIN_GAP = 128

# Nothing is this long; longer digit strings mean "past the end" and are not computed with.
_MOST_DIGITS = 19
_PAST_EVERYTHING = 10**_MOST_DIGITS

_UNIT = re.compile(rb"bytes=(.*)", re.IGNORECASE | re.DOTALL)
_RANGE = re.compile(rb"([0-9]*)-([0-9]*)")


@attrs.frozen(order=True)
class Span:
    """A piece of a file.

    :ivar start: offset of its first byte.
    :ivar stop: offset after its last byte, always greater than `start`.
    """

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@attrs.frozen
class FromTo:
    """``first-last``, or ``first-`` where `last` is `None`."""

    first: int
    last: int | None


@attrs.frozen
class Suffix:
    """``-length``: the last `length` bytes."""

    length: int


class Selection(Enum):
    """Result of a Range header that selects no piece."""

    WHOLE = "whole"
    UNSATISFIABLE = "unsatisfiable"


def parse_range(value: bytes) -> tuple[FromTo | Suffix, ...] | None:
    """The ranges of a Range header in the order they were asked for.

    :return: `None` where the header is to be ignored: another unit, not of the
        grammar, a range that ends before it starts, or more than `MAX_RANGES`.
    """
    unit = _UNIT.fullmatch(value.strip(b" \t"))
    if unit is None:
        return None
    specs: list[FromTo | Suffix] = []
    for member in unit[1].split(b","):
        member = member.strip(b" \t")
        if not member:
            continue  # empty list members are to be skipped (section 5.6.1.2)
        match = _RANGE.fullmatch(member)
        if match is None or len(specs) == MAX_RANGES:
            return None
        first, last = match.groups()
        if first and last:
            if _number(last) < _number(first):
                return None
            specs.append(FromTo(_number(first), _number(last)))
        elif first:
            specs.append(FromTo(_number(first), None))
        elif last:
            specs.append(Suffix(_number(last)))
        else:
            return None
    return tuple(specs) or None


def select(value: bytes, size: int) -> Selection | tuple[Span, ...]:
    """The pieces of a file of `size` bytes that a Range header selects.

    :return: pieces that do not overlap, in the order of the request, joined by
        `join`; or why there are none.
    """
    specs = parse_range(value)
    if specs is None:
        return Selection.WHOLE
    spans = tuple(span for spec in specs if (span := _fit(spec, size)) is not None)
    return join(spans) if spans else Selection.UNSATISFIABLE


def join(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """Join what overlaps or lies closer than `JOIN_GAP`; each result stands where its first did.

    The order of the request is kept because it says what the client wants
    first (section 15.3.7.2).
    """
    joined: list[Span] = []
    for span in spans:
        place = len(joined)
        # What `span` grew by may now touch others, so look until nothing does.
        while True:
            touching = next((i for i, other in enumerate(joined) if _touch(span, other)), None)
            if touching is None:
                break
            other = joined.pop(touching)
            span = Span(min(span.start, other.start), max(span.stop, other.stop))
            place = min(place, touching)
        joined.insert(place, span)
    return tuple(joined)


def _touch(one: Span, other: Span) -> bool:
    return one.start < other.stop + JOIN_GAP and other.start < one.stop + JOIN_GAP


def _fit(spec: FromTo | Suffix, size: int) -> Span | None:
    """`spec` cut to a file of `size` bytes, `None` where nothing is left (section 14.1.2)."""
    if isinstance(spec, Suffix):
        return Span(max(0, size - spec.length), size) if spec.length and size else None
    if spec.first >= size:
        return None
    return Span(spec.first, size if spec.last is None else min(spec.last + 1, size))


def _number(digits: bytes) -> int:
    digits = digits.lstrip(b"0")
    return int(digits or b"0") if len(digits) <= _MOST_DIGITS else _PAST_EVERYTHING


# The answer

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
    """The answer, not yet sent.

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
