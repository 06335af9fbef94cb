"""Preconditions: may this request proceed, and may it have a range?

RFC 9110, section 13, in the order of section 13.2.2.  Pure: everything that a
decision needs is an argument, and each header is looked at in one place.
"""

from __future__ import annotations

from enum import Enum

import attrs

from takotwist.streams.files.headers import parse_http_date
from takotwist.streams.files.validators import AnyTag, ETag, parse_etag, parse_etags


@attrs.frozen
class Conditions:
    """The conditional headers of one request; `None` is absent, repeated lines are joined."""

    if_match: bytes | None = None
    if_unmodified_since: bytes | None = None
    if_none_match: bytes | None = None
    if_modified_since: bytes | None = None
    if_range: bytes | None = None


@attrs.frozen
class Current:
    """The validators of the representation as it is now.

    :ivar etag: its tag.
    :ivar modified: when it was last modified, whole seconds since the epoch.
    """

    etag: ETag
    modified: int


class Outcome(Enum):
    """What the preconditions allow."""

    PROCEED = 200
    NOT_MODIFIED = 304
    FAILED = 412


def evaluate(conditions: Conditions, current: Current, now: float) -> Outcome:
    """Evaluate every precondition but If-Range for a GET or HEAD of something that exists.

    :param now: seconds since the epoch.
    """
    if conditions.if_match is not None:
        # One that cannot be read cannot be shown to hold, so it fails.
        if not _any_matches(conditions.if_match, current.etag, strongly=True):
            return Outcome.FAILED
    elif conditions.if_unmodified_since is not None:
        date = parse_http_date(conditions.if_unmodified_since, now)
        if date is not None and current.modified > date:
            return Outcome.FAILED
    if conditions.if_none_match is not None:
        # Its mere presence switches If-Modified-Since off (section 13.1.3).
        if _any_matches(conditions.if_none_match, current.etag, strongly=False):
            return Outcome.NOT_MODIFIED
    elif conditions.if_modified_since is not None:
        date = parse_http_date(conditions.if_modified_since, now)
        if date is not None and current.modified <= date:
            return Outcome.NOT_MODIFIED
    return Outcome.PROCEED


def range_applies(conditions: Conditions, current: Current, now: float) -> bool:
    """Whether If-Range lets a Range header count (section 13.1.5).

    A tag must match strongly.  A date must be the same second, and that
    second must be over: while it runs the file may change again under the
    same date (section 8.8.2.2).
    """
    if conditions.if_range is None:
        return True
    value = conditions.if_range.strip(b" \t")
    tag = parse_etag(value)
    if tag is not None:
        return tag.matches_strongly(current.etag)
    date = parse_http_date(value, now)
    return date is not None and date == current.modified and now >= date + 1


def _any_matches(value: bytes, tag: ETag, *, strongly: bool) -> bool:
    listed = parse_etags(value)
    if listed is None:
        return False
    if isinstance(listed, AnyTag):
        return True
    if strongly:
        return any(other.matches_strongly(tag) for other in listed)
    return any(other.matches_weakly(tag) for other in listed)
