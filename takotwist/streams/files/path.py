"""From the segments of a URL to a name inside a folder, or a refusal.

The segments come decoded once and are never decoded again, so what was
encoded twice is a strange name and not a way up.  This is the first of two
walls; `opened` is the second and looks at what was really opened.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

#: What a Linux file system allows for one name, and for a path, in bytes.
MAX_SEGMENT = 255
MAX_PATH = 4095

#: The one name with a leading dot that is public by design (RFC 8615).
WELL_KNOWN = b".well-known"

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_DRIVE = re.compile(rb"[A-Za-z]:")


@attrs.frozen
class Inside:
    """A name below the folder.

    :ivar relative: the name, without a leading or trailing slash; empty for the folder itself.
    :ivar is_folder: whether the URL ended in a slash.
    """

    relative: bytes
    is_folder: bool


@attrs.frozen
class Refused:
    """A name that is not looked up at all.

    :ivar reason: for a log, never for the client.
    """

    reason: str


def resolve(segments: Sequence[bytes]) -> Inside | Refused:
    """The name that `segments` ask for.

    :param segments: what stood between the slashes after the folder's own URL,
        percent-decoded once.  No segment at all is the folder without its slash.
    """
    is_folder = bool(segments) and segments[-1] == b""
    names = segments[:-1] if is_folder else segments
    for place, name in enumerate(names):
        reason = _fault(name, first=place == 0)
        if reason is not None:
            return Refused(reason)
    relative = b"/".join(names)
    if len(relative) > MAX_PATH:
        return Refused("the path is too long")
    return Inside(relative, is_folder)


def _fault(name: bytes, *, first: bool) -> str | None:
    if not name:
        return "an empty segment"
    if len(name) > MAX_SEGMENT:
        return "a segment is too long"
    if b"/" in name or b"\\" in name:
        return "an encoded slash or a backslash"
    if _CONTROL.search(name):
        return "a control character"
    # This also covers "." and "..".
    if name.startswith(b".") and not (first and name == WELL_KNOWN):
        return "a name with a leading dot"
    if first and _DRIVE.fullmatch(name):
        return "a drive letter"
    return None
