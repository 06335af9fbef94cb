"""Server-sent events to bytes, and to HTTP/1.1 chunks.

The one SSE writer in the tree.  Rule: whatever the text, a block is exactly one
event to a conforming parser (WHATWG HTML, section 9.2.6), because every
value is cut or cleaned at what that parser takes for the end of a line.
"""

from __future__ import annotations

import re

import attrs

#: Ends a chunked response (RFC 9112, section 7.1).
LAST_CHUNK = b"0\r\n\r\n"

#: What a parser takes for the end of a line.  Not `bytes.splitlines`, and much
#: less `str.splitlines`, which also cuts at U+2028, form feeds and others.
_LINE_END = re.compile(rb"\r\n|\r|\n")


def _positive(_: object, attribute: attrs.Attribute[int | None], value: int | None) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ValueError(f"{attribute.name} must be a whole number of milliseconds, not {value!r}")


@attrs.frozen(slots=True)
class SseEvent:
    """One block of an event stream.  Every field may be absent.

    :ivar data: the payload; bytes are taken for UTF-8.  Several lines become
        several ``data:`` lines, which the client joins again.
    :ivar event: the name that the client dispatches; absent means ``message``.
    :ivar id: what the client sends back as ``Last-Event-ID``.  An empty one
        makes it forget; an absent one leaves it as it was.
    :ivar retry: milliseconds until the client reconnects.
    :ivar comment: ignored by clients; keeps the connection busy.
    :raises ValueError: when `retry` is no number of milliseconds.
    """

    data: str | bytes | None = None
    event: str | bytes | None = None
    id: str | bytes | None = None
    retry: int | None = attrs.field(default=None, validator=_positive)
    comment: str | bytes | None = None


def _utf8(value: str | bytes) -> bytes:
    if isinstance(value, str):
        # A lone surrogate has no UTF-8 form.
        return value.encode("utf-8", "replace")
    if value.isascii():
        return value
    return value.decode("utf-8", "replace").encode()


def _one_line(value: str | bytes) -> bytes:
    """`value` without what would end its line.  NUL goes too: an id with one is ignored whole."""
    return _utf8(value).replace(b"\r", b" ").replace(b"\n", b" ").replace(b"\x00", b"")


def _lines(prefix: bytes, value: bytes) -> bytes:
    if b"\n" not in value and b"\r" not in value:
        return prefix + value + b"\n"
    return b"".join(prefix + line + b"\n" for line in _LINE_END.split(value))


def encode(event: SseEvent) -> bytes:
    """One block: comment, event, id, retry, data, and the blank line that ends it.

    A comment and a retry count from their line on, so a block of nothing else has no
    blank line: many clients take every blank line for an event, and would hand out one
    without data.

    It begins with a field's name, a colon or a line end, so never with U+FEFF,
    which a parser would swallow at the start of a stream.
    """
    parts = []
    if event.comment is not None:
        parts.append(_lines(b": ", _utf8(event.comment)))
    if event.event is not None:
        parts.append(b"event: " + _one_line(event.event) + b"\n")
    if event.id is not None:
        parts.append(b"id: " + _one_line(event.id) + b"\n")
    if event.retry is not None:
        parts.append(b"retry: %d\n" % event.retry)
    if event.data is not None:
        parts.append(_lines(b"data: ", _utf8(event.data)))
    dispatches = not (event.event is None and event.id is None and event.data is None)
    if dispatches or not parts:
        parts.append(b"\n")
    return b"".join(parts)


def chunk(block: bytes) -> bytes:
    """`block` as one HTTP/1.1 chunk (RFC 9112, section 7.1).

    Nothing for an empty block: an empty chunk would end the response.
    """
    return b"%x\r\n%b\r\n" % (len(block), block) if block else b""
