"""One video, with seeking: a Klein route that answers with `serve_file`.

    python examples/streams/video.py movie.mp4

Then open http://localhost:8080/.  The browser asks for ranges as one drags the
slider, and the download link resumes after a break.
"""

from __future__ import annotations

import sys
from pathlib import Path

from klein import Klein
from twisted.internet import endpoints, task
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from takotwist.streams.files import serve_file

PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Video</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 44rem; margin: 2rem auto; padding: 0 1rem; }
video { width: 100%; border-radius: .5rem; background: #000; }
</style>
<h1>A video that seeks</h1>
<video src="video" controls></video>
<p><a href="download">Download</a></p>
"""


def resource(video: Path) -> IResource:
    """The site for one video."""
    app = Klein()

    @app.route("/")
    def page(request: Request) -> bytes:
        request.setHeader(b"Content-Type", b"text/html; charset=utf-8")
        return PAGE

    @app.route("/video")
    def play(request: Request) -> Deferred[bool]:
        return serve_file(request, video)

    @app.route("/download")
    def download(request: Request) -> Deferred[bool]:
        return serve_file(request, video, filename=video.name, disposition="attachment")

    site: IResource = app.resource()
    return site


def main(reactor: IReactorCore, video: str) -> Deferred[None]:
    """Serve until interrupted."""
    endpoint = endpoints.serverFromString(reactor, "tcp:8080:interface=localhost")
    listening = endpoint.listen(Site(resource(Path(video)), reactor=reactor))
    return listening.addCallback(lambda _: Deferred())


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
