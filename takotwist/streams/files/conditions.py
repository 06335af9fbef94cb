"""Entity tags and preconditions (RFC 9110, sections 8.8.3 and 13).

Pure: everything that a decision needs is an argument.  The preconditions say whether a
request may proceed, and whether it may have a range; they are evaluated in the order of
section 13.2.2, and each header is looked at in one place.

A tag is made from a file's facts, read from a request, and kept with its quotes, as it is on
the wire, so that nothing is ever compared in two spellings.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from hashlib import blake2b

import attrs

from takotwist.streams.files.headers import parse_http_date

_TAG = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_SEPARATOR = re.compile(rb"[ \t]*(?:,[ \t]*)+")


@attrs.frozen
class ETag:
    """One entity tag.

    :ivar opaque: the opaque part with its quotes, as in ``b'"abc"'``.
    :ivar weak: whether it carries ``W/``.
    """

    opaque: bytes
    weak: bool = False

    def __bytes__(self) -> bytes:
        return b"W/" + self.opaque if self.weak else self.opaque

    def matches_strongly(self, other: ETag) -> bool:
        """Byte for byte the same representation: neither is weak (section 8.8.3.2)."""
        return not self.weak and not other.weak and self.opaque == other.opaque

    def matches_weakly(self, other: ETag) -> bool:
        """Good enough for a cache to reuse (section 8.8.3.2)."""
        return self.opaque == other.opaque


@attrs.frozen
class AnyTag:
    """The ``*`` of If-Match and If-None-Match: whatever exists."""


def parse_etag(value: bytes) -> ETag | None:
    """One entity tag and nothing else, or `None`."""
    match = _TAG.fullmatch(value)
    return ETag(match[2], match[1] is not None) if match else None


def parse_etags(value: bytes) -> AnyTag | tuple[ETag, ...] | None:
    """The value of If-Match or If-None-Match, repeated lines already joined by commas.

    :return: `None` where it is not of the grammar.  The caller decides what a
        malformed condition means; it is never half read.
    """
    value = value.strip(b" \t")
    if value == b"*":
        return AnyTag()
    tags: list[ETag] = []
    # Commas may stand inside a tag, so the list cannot simply be split.
    position = 0
    start = _SEPARATOR.match(value)
    if start:
        position = start.end()
    while position < len(value):
        match = _TAG.match(value, position)
        if match is None:
            return None
        tags.append(ETag(match[2], match[1] is not None))
        position = match.end()
        if position < len(value):
            separator = _SEPARATOR.match(value, position)
            if separator is None:
                return None
            position = separator.end()
    return tuple(tags) or None


@lru_cache(maxsize=4096)
def tag_of(size: int, mtime_ns: int, inode: int, coding: str = "identity") -> ETag:
    """The strong tag of a file's content under one content coding.

    The three facts are hashed so that an answer tells nobody an inode number.
    Each coding has its own tag, as its bytes differ (section 8.8.3.3).

    :param size: bytes of the original file.
    :param mtime_ns: its modification time in nanoseconds.
    :param inode: its inode number, which catches a replacement by rename that
        kept size and time.
    """
    facts = b"%d %d %d" % (size, mtime_ns, inode)
    digest = blake2b(facts, digest_size=12).hexdigest()
    suffix = "" if coding == "identity" else f"-{coding}"
    return ETag(f'"{digest}{suffix}"'.encode("ascii"))


# Preconditions


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
    """Outcome of the preconditions."""

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
    """True where If-Range lets a Range header count (section 13.1.5).

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
