"""Files over HTTP, by RFC 9110 and 9111: conditions, ranges, sidecars, and bodies at the
reader's pace.

`serve_file` answers one request with one file; `static_dir` is a folder as a
resource.  Everything that can be decided without I/O is pure and in its own file.
"""

from __future__ import annotations

from takotwist.streams.files.folder import StaticDir, static_dir
from takotwist.streams.files.headers import content_disposition
from takotwist.streams.files.response import serve_file
from takotwist.streams.files.transmission import ErrorRenderer

__all__ = ["ErrorRenderer", "StaticDir", "content_disposition", "serve_file", "static_dir"]
