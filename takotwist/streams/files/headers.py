"""HTTP dates, read strictly and written in the preferred form (RFC 9110, section 5.6.7).

Three forms are read, one is written.  A date that is not exactly one of them
is no date: a condition built on a misread date would answer 304 wrongly.
"""

from __future__ import annotations

import calendar
import re
import time
from functools import lru_cache

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
