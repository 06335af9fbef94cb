"""Entity tags: made from a file's facts, read from a request, compared by the book.

RFC 9110, section 8.8.3.  A tag is kept with its quotes, as it is on the wire,
so that nothing is ever compared in two spellings.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b

import attrs

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
