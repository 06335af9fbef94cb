"""Codecs of the headers that concern files: dates, names, media types, content codings.

Dates (RFC 9110, section 5.6.7): three forms are read, one is written.  A date that is not
exactly one of them is no date: a condition built on a misread date would answer 304 wrongly.

Content-Disposition (RFC 6266, with RFC 8187 for names outside ASCII): the plain form is for
old clients and is reduced to characters that none of them reads in two ways.

Content-Type, from the file's name alone: one table, the same on every machine.  The system's
own mime.types is not read, because then an answer would depend on what else is installed.
Content is never sniffed, and every answer says ``nosniff``.

Accept-Encoding (RFC 9110, section 12.5.3): the client's weights decide; the server's own order
only settles ties, and identity comes last in a tie, as it is the largest.
"""

from __future__ import annotations

import calendar
import mimetypes
import re
import time
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal
from urllib.parse import quote

# Dates

_DAYS = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_MONTHS = (
    *(b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun"),
    *(b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"),
)
_MONTH_NUMBER = {name: number for number, name in enumerate(_MONTHS, 1)}

_CLOCK = rb"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_SHORT_DAY = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY = rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_MONTH = rb"(?P<month>[A-Z][a-z]{2})"
_FORMS = tuple(
    re.compile(form)
    for form in (
        _SHORT_DAY
        + rb", (?P<day>[0-9]{2}) "
        + _MONTH
        + rb" (?P<year>[0-9]{4}) "
        + _CLOCK
        + rb" GMT",
        _LONG_DAY
        + rb", (?P<day>[0-9]{2})-"
        + _MONTH
        + rb"-(?P<year>[0-9]{2}) "
        + _CLOCK
        + rb" GMT",
        _SHORT_DAY + rb" " + _MONTH + rb" (?P<day>[ 0-9][0-9]) " + _CLOCK + rb" (?P<year>[0-9]{4})",
    )
)


def parse_http_date(value: bytes, now: float) -> int | None:
    """Seconds since the epoch, or `None` where `value` is no HTTP date.

    :param now: seconds since the epoch; it settles the century of the
        obsolete form with two digits (more than 50 years ahead is the past).
    """
    match = next((found for form in _FORMS if (found := form.fullmatch(value))), None)
    if match is None:
        return None
    month = _MONTH_NUMBER.get(match["month"])
    if month is None:
        return None
    day, hour, minute, second = (int(match[part]) for part in ("day", "hour", "minute", "second"))
    year = int(match["year"])
    if len(match["year"]) == 2:
        this_year = time.gmtime(now).tm_year
        year += this_year - this_year % 100
        if year > this_year + 50:
            year -= 100
    if not (year >= 1 and 1 <= day <= calendar.monthrange(year, month)[1]):
        return None
    # 60 is a leap second, which the grammar allows and timegm carries over.
    if hour > 23 or minute > 59 or second > 60:
        return None
    return calendar.timegm((year, month, day, hour, minute, second, 0, 0, 0))


def format_http_date(seconds: float) -> bytes:
    """The preferred form, as in ``Sun, 06 Nov 1994 08:49:37 GMT``; fractions are cut off."""
    return _format(int(seconds))


@lru_cache(maxsize=4096)
def _format(seconds: int) -> bytes:
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(seconds)
    return b"%s, %02d %s %04d %02d:%02d:%02d GMT" % (
        *(_DAYS[weekday], day, _MONTHS[month - 1], year),
        *(hour, minute, second),
    )


# Content-Disposition

Disposition = Literal["inline", "attachment"]

# attr-char of RFC 8187 beside letters and digits.
_ATTR_CHAR = "!#$&+-.^_`|~"
# A quote or backslash needs an escape that clients disagree on, and "%41" is decoded by some.
_UNSAFE = re.compile(r"[^ !#$&\'()+,.\-0-9;=@A-Z\[\]^_`a-z{}~]")


def content_disposition(disposition: Disposition, filename: str | None) -> bytes:
    """The header's value.

    :param disposition: whether a browser should show it or save it.
    :param filename: the name to save it under.  Folders, control characters and
        leading dots are taken off it, as section 4.3 asks.
    """
    kind = disposition.encode("ascii")
    name = _clean(filename) if filename else ""
    if not name:
        return kind
    decomposed = unicodedata.normalize("NFKD", name)
    letters = "".join(c for c in decomposed if not unicodedata.combining(c))
    plain = _UNSAFE.sub("_", letters)
    value = kind + b'; filename="' + plain.encode("ascii") + b'"'
    if plain != name:
        value += b"; filename*=UTF-8''" + quote(name, safe=_ATTR_CHAR).encode("ascii")
    return value


def _clean(filename: str) -> str:
    # Lone surrogates stand for undecodable bytes of a file system name.
    text = filename.encode("utf-8", "replace").decode("utf-8")
    text = text.replace("\\", "/").rpartition("/")[2]
    printable = "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp"))
    return printable.strip().lstrip(".")


# Content-Type

OCTET_STREAM = "application/octet-stream"

# What the standard library's table lacks or knows by an older name (IANA registry).
_NEWER = {
    ".avif": "image/avif",
    ".flac": "audio/flac",
    ".heic": "image/heic",
    ".ico": "image/vnd.microsoft.icon",
    ".js": "text/javascript",
    ".jsonld": "application/ld+json",
    ".log": "text/plain",
    ".m3u8": "application/vnd.apple.mpegurl",
    ".m4a": "audio/mp4",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".mkv": "video/matroska",
    ".mpd": "application/dash+xml",
    ".ogg": "audio/ogg",
    ".ogv": "video/ogg",
    ".opus": "audio/ogg",
    ".otf": "font/otf",
    ".rss": "application/rss+xml",
    ".ttf": "font/ttf",
    ".vtt": "text/vtt",
    ".wasm": "application/wasm",
    ".webm": "video/webm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zst": "application/zstd",
}

# A file that is itself compressed is sent as what it is, not as what is inside:
# only a sidecar carries Content-Encoding.
_COMPRESSED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}

_TABLE = mimetypes.MimeTypes()
for _extension, _type in _NEWER.items():
    _TABLE.add_type(_type, _extension)


@lru_cache(maxsize=1024)
def media_type_of(name: str) -> str:
    """The media type for a file called `name`, with ``charset=utf-8`` where it is text."""
    if "." not in name.rpartition("/")[2]:
        return OCTET_STREAM
    # The name is put behind a slash so that one such as "data:x" is not read as a URL.
    found, coding = _TABLE.guess_type("/" + name.rpartition("/")[2])
    if coding is not None:
        return _COMPRESSED.get(coding, OCTET_STREAM)
    if found is None:
        return OCTET_STREAM
    return f"{found}; charset=utf-8" if found.startswith("text/") else found


# Accept-Encoding

IDENTITY = "identity"

# A weight has at most three decimals, and "0", "0.", "0.0" and "0.000" are all zero.
_WEIGHT = re.compile(rb"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ALIASES = {"x-gzip": "gzip", "x-compress": "compress"}


def weights(accept_encoding: bytes | None) -> dict[str, float]:
    """The weight of each coding that is named, lower case; ``*`` stands for the rest.

    A member that is not of the grammar counts as absent.  Where a coding is named
    twice the first one counts.
    """
    named: dict[str, float] = {}
    for member in (accept_encoding or b"").split(b","):
        coding, _, parameters = member.partition(b";")
        coding = coding.strip(b" \t")
        weight = _weight(parameters)
        if weight is None or not _TOKEN.fullmatch(coding):
            continue
        name = coding.decode("ascii").lower()
        named.setdefault(_ALIASES.get(name, name), weight)
    return named


def rank(accept_encoding: bytes | None, available: Sequence[str]) -> tuple[str, ...]:
    """The codings that may be sent, best first.

    :param accept_encoding: the header, repeated lines joined, or `None` where absent.
    :param available: the codings other than identity that may be there, the server's
        favourite first.
    :return: members of `available` and `IDENTITY`; empty where the client refuses
        everything, which is a 406.  Without the header only identity is sent:
        anything would be allowed, but old clients that send none cannot decode.
    """
    if accept_encoding is None:
        return (IDENTITY,)
    named = weights(accept_encoding)
    rest = named.get("*", 0.0)
    offers = [(named.get(coding, rest), coding) for coding in available]
    # Identity is acceptable unless refused by name, or by "*" without its name.
    identity = named.get(IDENTITY, named.get("*"))
    if identity is None:
        # Never named: any coding that was asked for is preferred to it.
        identity = 0.0001
    offers.append((identity, IDENTITY))
    # sorted() is stable, so ties keep the server's order.
    best_first = sorted(offers, key=lambda offer: offer[0], reverse=True)
    return tuple(coding for weight, coding in best_first if weight > 0)


def _weight(parameters: bytes) -> float | None:
    if not parameters.strip(b" \t"):
        return 1.0
    name, _, value = parameters.strip(b" \t").partition(b"=")
    if name.lower() != b"q" or not _WEIGHT.fullmatch(value):
        return None
    return float(value)
