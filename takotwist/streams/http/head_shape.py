"""What of a head matters: the names of its fields, in order, and the values of a few.

A publisher's head changes with each request where it has an id of the request, of a
trace or of a client in it, and means the same.  Rule: only a plain head has a shape,
one that twisted.web reads in the same way line for line, whatever the values that are
left out; everything odd goes to twisted.web, which is the one judge of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from takotwist.streams.http.head import PLAIN

#: Fields that say where a request goes and what becomes of its connection.  Others that do
#: (`streams.repeated.may_be_repeated`) stand in no head that is remembered, and so in no shape.
_ALWAYS = ("connection", "host")

#: Characters of names (RFC 9110, section 5.6.2).
_NAME = rb"[!#-'*+.0-9A-Z^-z|~-]+"


class HeadShape:
    """Tells which heads are alike.

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
