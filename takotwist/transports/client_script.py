"""The JavaScript client, for pages without a bundler.

``/_tako/client.js`` is always the newest, and caches ask each time;
``/_tako/client.<hash>.js`` is exactly one build, and caches keep it.
``/_tako/webtransport.js`` goes beside either.  Rule: an old page that names an
old build is not given another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from takotwist.streams.files import serve_file

#: Where it is served.
CLIENT_FOLDER = "/_tako/"

#: The transport that a page asks for by itself.
WEBTRANSPORT = "webtransport.js"


class _Build(msgspec.Struct):
    file: str
    immutable: str


class ClientScript(Resource):
    """One name of the script.

    Any page may load it, whatever its origin: it holds no secret, and what it
    then asks for is checked by itself.
    """

    isLeaf = True

    def __init__(self, path: Path, cache_control: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._path = path
        self._cache_control = cache_control

    def render(self, request: Any) -> Any:
        """See `IResource`."""
        request.setHeader(b"Access-Control-Allow-Origin", b"*")
        request.setHeader(b"Cross-Origin-Resource-Policy", b"cross-origin")
        serve_file(
            request,
            self._path,
            content_type="text/javascript; charset=utf-8",
            cache_control=self._cache_control,
        )
        return NOT_DONE_YET


def client_scripts() -> Mapping[str, IResource]:
    """The scripts by their paths."""
    folder = Path(str(files("takotwist") / "static"))
    build = msgspec.json.decode((folder / "client.json").read_bytes(), type=_Build)
    path = folder / build.file
    return {
        f"{CLIENT_FOLDER}{build.file}": ClientScript(path, "no-cache"),
        f"{CLIENT_FOLDER}{build.immutable}": ClientScript(
            path, "public, max-age=31536000, immutable"
        ),
        f"{CLIENT_FOLDER}{WEBTRANSPORT}": ClientScript(folder / WEBTRANSPORT, "no-cache"),
    }
