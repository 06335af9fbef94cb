"""Content-Disposition: a file name that is safe in a header and right on a disk.

RFC 6266, with RFC 8187 for names outside ASCII.  The plain form is for old
clients and is reduced to characters that none of them reads in two ways.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal
from urllib.parse import quote

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
