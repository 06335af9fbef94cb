"""The Content-Type of a file, from its name alone.

One table, the same on every machine: the system's own mime.types is not read,
because then an answer would depend on what else is installed.  Content is
never sniffed, and every answer says ``nosniff``.
"""

from __future__ import annotations

import mimetypes
from functools import lru_cache

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
