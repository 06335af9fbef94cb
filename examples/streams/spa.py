"""A single page app: a folder of built files, with the app itself for every other page.

    npm run build
    python examples/streams/spa.py dist

Then open http://localhost:8080/any/page.  Files whose names hold a hash are
kept for ever by browsers, everything else is asked for again; `app.js.br` and
`app.js.gz` are sent where they lie beside `app.js`.
"""

from __future__ import annotations

import re
import sys

from twisted.internet import endpoints, task
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore
from twisted.web.resource import IResource
from twisted.web.server import Site

from takotwist.streams.files import static_dir

HASHED = re.compile(r"[.-][0-9A-Za-z_-]{8,}\.[a-z0-9]+$")


def cache_control(name: str) -> str:
    """A name with a hash never means another content."""
    return "public, max-age=31536000, immutable" if HASHED.search(name) else "no-cache"


def resource(folder: str) -> IResource:
    """The site for one folder."""
    return static_dir(folder, fallback="index.html", cache_control=cache_control)


def main(reactor: IReactorCore, folder: str) -> Deferred[None]:
    """Serve until interrupted."""
    endpoint = endpoints.serverFromString(reactor, "tcp:8080:interface=localhost")
    listening = endpoint.listen(Site(resource(folder), reactor=reactor))
    return listening.addCallback(lambda _: Deferred())


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
