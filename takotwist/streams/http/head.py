"""The head of a plain GET, read in one go from the bytes that hold all of it.

twisted.web reads every head there is, line by line, and costs a hundred
microseconds for it.  Rule: this reader takes only what it reads exactly as
twisted.web does, and declines everything else, bad or merely unusual; so it never
refuses anything, and there is one judge of odd requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from takotwist.streams.http.host import is_host_field

#: What may stand in a line that is read without twisted.web: printable ASCII and tabs.
PLAIN = bytes([9, *range(32, 127)])

#: Names (RFC 9110, section 5.6.2).
_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

#: Fields with which a GET has a body, closes its connection, or wants to be answered twice.
_LEFT_TO_OTHERS = frozenset({b"content-length", b"transfer-encoding", b"expect"})

#: Spellings of names that were met, and what they are in lower case.  Bounded, because
#: clients choose them.
_names: dict[bytes, bytes] = {}
_MAX_NAMES = 1000


class HeadFields:
    """The fields of one head, to be read like `twisted.web.http_headers.Headers`."""

    __slots__ = ("_fields",)

    def __init__(self, fields: dict[bytes, list[bytes]]) -> None:
        self._fields = fields

    def getRawHeaders(self, name: bytes) -> Sequence[bytes] | None:
        """The values of all lines of that name, in order; `None` where there is none."""
        return self._fields.get(name.lower())

    def hasHeader(self, name: bytes) -> bool:
        """True if there is such a line."""
        return name.lower() in self._fields

    def getAllRawHeaders(self) -> Iterator[tuple[bytes, Sequence[bytes]]]:
        """All fields; names in lower case."""
        return iter(self._fields.items())


@attrs.frozen(slots=True)
class RequestHead:
    """A request for something, and nothing else.

    :ivar target: path and query, as they came.
    :ivar length: of the head in bytes, its empty line included.
    """

    target: bytes
    fields: HeadFields
    length: int


def read_head(data: bytes, most: int, most_fields: int) -> RequestHead | None:
    """Read the head that `data` begins with.

    :param most: bytes that it may have; :param most_fields: lines of fields.
    :return: `None` where it is not whole, is too large, or is anything but an HTTP/1.1
        GET of a path, with one host, no body, and a connection that stays.
    """
    end = data.find(b"\r\n\r\n", 0, most)
    if end < 0:
        return None
    head = data[:end]
    lines = head.split(b"\r\n")
    first = lines.pop(0)
    if first[:5] != b"GET /" or first[-9:] != b" HTTP/1.1" or len(lines) > most_fields:
        return None
    if head.translate(None, PLAIN) != b"\r\n" * len(lines):
        # Something else than lines of plain text: a bare CR or LF, a NUL, another alphabet.
        return None
    target = first[4:-9]
    if b" " in target or b"\t" in target:
        return None
    fields: dict[bytes, list[bytes]] = {}
    for line in lines:
        spelled, colon, value = line.partition(b":")
        name = _names.get(spelled) or _name(spelled)
        if not colon or name is None:
            return None
        if name in fields:
            fields[name].append(value.strip(b" \t"))
        else:
            fields[name] = [value.strip(b" \t")]
    hosts = fields.get(b"host", ())
    if len(hosts) != 1 or not is_host_field(hosts[0]) or not _LEFT_TO_OTHERS.isdisjoint(fields):
        return None
    if any(b"close" in value.lower() for value in fields.get(b"connection", ())):
        return None
    return RequestHead(target, HeadFields(fields), end + 4)


def _name(spelled: bytes) -> bytes | None:
    """`spelled` in lower case, or `None` where it can be no name of a field."""
    if not spelled or not _TOKEN.issuperset(spelled):
        return None
    lower = spelled.lower()
    if len(_names) < _MAX_NAMES:
        _names[spelled] = lower
    return lower
