"""Known-head cache: heads of requests that were answered before, and a fast path for them.

A publisher sends almost the same head thousands of times but for where it posts to, how
much, and what it says of each request alone; reading it costs more than all that follows.
Rule: a head is known only after a request with one of the same shape (`HeadShape`) took
the slow path, and the fast path can always decline, upon which the request takes the slow
one too.

A publisher's head changes with each request where it has an id of the request, of a trace
or of a client in it, and means the same.  So the shape is the names of the fields, in
order, and the values of a few.  Rule: only a plain head has a shape, one that twisted.web
reads in the same way line for line, whatever the values that are left out; everything odd
goes to twisted.web, which is the one judge of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from takotwist.streams.http.head import PLAIN
from takotwist.streams.http.interface import FastAnswer, Request

#: Fields that say where a request goes and what becomes of its connection.  Others that do
#: (`may_be_known`) stand in no head that is remembered, and so in no shape.
_ALWAYS = ("connection", "host")

#: Characters of names (RFC 9110, section 5.6.2).
_NAME = rb"[!#-'*+.0-9A-Z^-z|~-]+"

#: Longer heads are not remembered, and not more than so many: a head is of one publisher,
#: whose key was good.
MAX_HEAD, MAX_HEADS = 2048, 4096

#: Bodies longer than this do not take the fast path: they come in many pieces anyway.
MAX_BODY = 64 * 1024

#: A request with a known head: what answers it, its target, and the length of its body.
Known = tuple[FastAnswer, bytes, int]

#: The first line of this name.  A head with two of them is never remembered, and what is
#: cut out of a head is the digits alone, so no two heads are mistaken for each other.
_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: (0|[1-9][0-9]{0,4})\r\n")


class HeadShape:
    """The likeness of heads.

    :param values: names of the fields whose values count, beside those that always do;
        all of them where it is `None`.
    """

    __slots__ = ("_lines",)

    def __init__(self, values: Iterable[str] | None = None) -> None:
        counts = _NAME if values is None else b"|".join(map(_spelled, (*_ALWAYS, *values)))
        # The first kind of line is kept whole, and of the second its name.
        self._lines = re.compile(rb"\r\n((?:" + counts + rb"):[^\r]*|" + _NAME + rb":)")

    def of(self, fields: bytes) -> bytes | None:
        """The shape of a head, or `None` where it has none.

        :param fields: its lines after the first, each with the CRLF before it, and the
            two CRLFs of its end.
        """
        lines = self._lines.findall(fields)
        if fields.translate(None, PLAIN) != b"\r\n" * (len(lines) + 2):
            # Something that is no plain field: a folded line, a bare CR or LF, a NUL,
            # another alphabet, a name that is none.
            return None
        return b"\n".join(lines)


def _spelled(name: str) -> bytes:
    """A pattern of `name` in capitals or not; cheaper than to ignore case all over a head."""
    return b"".join(
        b"[%c%c]" % (one, other) if one != other else re.escape(bytes([one]))
        for one, other in zip(name.upper().encode(), name.lower().encode(), strict=True)
    )


class KnownHeads:
    """The heads that one site remembers; the oldest is forgotten first.

    A head whose shape is known is read through each time; one that came so twice is known
    byte for byte, which costs next to nothing.  So heads that never come again are
    answered as well, and take no place from those that do.

    :param values: see `HeadShape`.
    :ivar longest: longer heads, in bytes, need not be looked for.
    """

    def __init__(self, values: Iterable[str] | None = None, longest: int = MAX_HEAD) -> None:
        self.longest = longest
        self._shape = HeadShape(values)
        self._shapes: dict[bytes, FastAnswer] = {}
        self._whole: dict[bytes, FastAnswer] = {}
        #: Hashes of heads that came once, all forgotten when they are too many.
        self._once: set[int] = set()

    def get(self, head: bytes) -> Known | None:
        """The answer to a request with `head`, which begins with ``POST``; `None` if unknown."""
        parts = _parts(head)
        if parts is None:
            return None
        fields, target, length = parts
        if length > MAX_BODY:
            return None
        answer = self._whole.get(fields) or self._alike(fields)
        return None if answer is None else (answer, target, length)

    def _alike(self, fields: bytes) -> FastAnswer | None:
        shape = self._shape.of(fields)
        answer = None if shape is None else self._shapes.get(shape)
        if answer is not None and self._came_before(fields):
            _put(self._whole, fields, answer)
        return answer

    def _came_before(self, fields: bytes) -> bool:
        # Two heads of one hash would be known sooner than they should; nothing else.
        this = hash(fields)
        if this in self._once:
            self._once.remove(this)
            return True
        if len(self._once) >= MAX_HEADS:
            self._once.clear()
        self._once.add(this)
        return False

    def remember(self, head: bytes, answer: FastAnswer) -> None:
        """Answer heads of the shape of `head` that way from now on."""
        # The authority of an absolute target stands for a Host that may be wrong elsewhere.
        # Who expects to be told to go on waits for it with the body; the request has no such
        # field any more where that was left to whoever takes the body.
        plain = head.startswith(b"POST /") and b"\r\nexpect:" not in head.lower()
        parts = _parts(head) if plain else None
        shape = None if parts is None else self._shape.of(parts[0])
        if parts is None or shape is None:
            return
        fields = parts[0]
        _put(self._shapes, shape, answer)
        if fields in self._whole:
            self._whole[fields] = answer

    def __len__(self) -> int:
        return len(self._shapes)

    @property
    def whole(self) -> int:
        """Number of heads that are known byte for byte."""
        return len(self._whole)


def _put(known: dict[bytes, FastAnswer], key: bytes, answer: FastAnswer) -> None:
    known.pop(key, None)
    if len(known) >= MAX_HEADS:
        del known[next(iter(known))]
    known[key] = answer


def _parts(head: bytes) -> tuple[bytes, bytes, int] | None:
    """A head's fields without the digits of its length, its target, and its length."""
    line = head.find(b"\r\n")
    length = _LENGTH.search(head, line)
    if length is None or head[line - 9 : line] != b" HTTP/1.1":
        return None
    start, end = length.span(1)
    return head[line:start] + head[end:], head[5 : line - 9], int(head[start:end])


def may_be_known(request: Request) -> bool:
    """True where another request with this head may take the fast path.

    :param request: of HTTP/1.1, on a connection that stays open.
    """
    headers = request.requestHeaders
    stays = (value.lower() == b"keep-alive" for value in headers.getRawHeaders(b"connection") or ())
    return (
        request.method == b"POST"
        and request.clientproto == b"HTTP/1.1"
        and len(headers.getRawHeaders(b"content-length") or ()) == 1
        and not headers.hasHeader(b"transfer-encoding")
        and all(stays)
    )
