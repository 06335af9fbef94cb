"""All of these programs in one: http://127.0.0.1:8080/

    python examples/streams/main.py [VIDEO]

Without a video there is a minute of sound, in which a browser seeks in the same way.
"""

from __future__ import annotations

import sys
import wave
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import echo
import spa
import tokens
import video
import webtransport
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.web.resource import Resource
from twisted.web.static import Data

HERE = Path(__file__).parent


def write_sound(path: Path) -> None:
    """A minute of it."""
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8_000, 0, "NONE", ""))
        sound.writeframes(bytes(range(160)) * (8_000 * 2 * 60 // 160))


def make_root(reactor: Any, film: Path) -> Resource:
    """The routes but for WebTransport's, which come with their server."""
    root = Resource()
    root.putChild(b"events", echo.make_app(reactor).resource())
    root.putChild(b"tokens", tokens.make_app(reactor).resource())
    root.putChild(b"video", video.resource(film))
    root.putChild(b"app", spa.resource(str(HERE / "app")))
    return root


def main(reactor: Any, *given: str) -> Deferred[None]:
    """Serve until interrupted."""
    folder = TemporaryDirectory()
    film = Path(given[0]) if given else Path(folder.name) / "sound.wav"
    if not given:
        write_sound(film)
    root = make_root(reactor, film)
    _, server = webtransport.serve(reactor, root, 8080, 4433)
    root.putChild(b"webtransport", Data(webtransport.PAGE.read_bytes(), "text/html; charset=utf-8"))
    root.putChild(b"", Data((HERE / "index.html").read_bytes(), "text/html; charset=utf-8"))
    reactor.addSystemEventTrigger("before", "shutdown", server.stop)
    reactor.addSystemEventTrigger("after", "shutdown", folder.cleanup)
    return Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])
