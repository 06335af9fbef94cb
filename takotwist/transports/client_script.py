"""The JavaScript client, for pages without a bundler.

``/_tako/client.js`` is always the newest, and caches ask each time;
``/_tako/client.<hash>.js`` is exactly one build, and caches keep it.
``/_tako/live.js`` and ``/_tako/live.<hash>.js`` are live objects, each with the
first of its kind.  ``/_tako/webtransport.js`` and ``/_tako/tabs.js`` go beside either, and
``/_tako/offline.js`` beside ``/_tako/client.js``.
Rule: an old page that names an old build is not given another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import msgspec
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from takotwist.streams.files import serve_file

#: Where it is served.
CLIENT_FOLDER = "/_tako/"

#: What a page asks for by itself, and what has no name for one build alone.
BESIDE = ("webtransport.js", "tabs.js", "offline.js")

#: Manifests with the names under which a script is served.
BUILDS = ("client.json", "live.json")


class _Build(msgspec.Struct):
    """A script by two names.

    :ivar pinned: the file of the immutable name, where that is another one: it
        imports other scripts by their immutable names.
    """

    file: str
    immutable: str
    pinned: str | None = None


class ClientScript(Resource):
    """One name of the script.

    Any page may load it, whatever its origin: it holds no secret, and what it
    then asks for is checked by itself.
    """

    isLeaf = True

    def __init__(self, path: Path, cache_control: str) -> None:
        Resource.__init__(self)
        self._path = path
        self._cache_control = cache_control

    def render(self, request: Request) -> int:
        """Implement `IResource`."""
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
    scripts = {name: ClientScript(folder / name, "no-cache") for name in BESIDE}
    for name in BUILDS:
        build = msgspec.json.decode((folder / name).read_bytes(), type=_Build)
        scripts[build.file] = ClientScript(folder / build.file, "no-cache")
        scripts[build.immutable] = ClientScript(
            folder / (build.pinned or build.file), "public, max-age=31536000, immutable"
        )
    return {f"{CLIENT_FOLDER}{name}": script for name, script in scripts.items()}
