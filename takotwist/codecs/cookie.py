"""Cookies of a request, read as the web frameworks of Python read their own.

A value that has other characters than a cookie may (base64's ``=``, a blank, a
letter with an accent) is set by them in quotes, with escapes, and the browser sends
it back as it came.  Rule: `verify` is given what the app has set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_ESCAPE = re.compile(rb"\\(?:([0-3][0-7][0-7])|(.))", re.DOTALL)


def read_cookies(lines: Iterable[bytes]) -> dict[str, str]:
    """Name -> value of all cookies.

    Of several with one name the first counts: browsers put the one with the most
    specific path there (RFC 6265, section 5.4), and a parent domain's, which another
    app may have set, behind it.

    :param lines: the values of the ``Cookie`` fields, in order.
    """
    found: dict[str, str] = {}
    for line in lines:
        for pair in line.split(b";"):
            name, equals, value = pair.partition(b"=")
            if equals:
                found.setdefault(header_text(name.strip()), _unquoted(value.strip()))
    return found


def header_text(raw: bytes) -> str:
    """The text of a field: UTF-8, and Latin-1 where it is not."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _unquoted(value: bytes) -> str:
    if len(value) >= 2 and value[:1] == value[-1:] == b'"':
        value = _ESCAPE.sub(_escaped, value[1:-1])
    return header_text(value)


def _escaped(found: re.Match[bytes]) -> bytes:
    octal = found[1]
    return found[2] if octal is None else bytes([int(octal, 8)])
