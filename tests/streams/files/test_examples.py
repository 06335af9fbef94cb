"""The examples for files do what they say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from twisted.trial.unittest import SynchronousTestCase

from tests.streams.files.exchange import ask

EXAMPLES = Path(__file__).parents[3] / "examples" / "streams"


def load(name: str) -> ModuleType:
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Examples(SynchronousTestCase):
    """``examples/streams``."""

    def test_video(self) -> None:
        """The video is seekable, and the download has its name."""
        video = Path(self.mktemp()).with_suffix(".mp4")
        video.write_bytes(b"0123456789")
        resource = load("video").resource(video)
        self.assertIn(b"<video", ask(resource, "/").body)
        reply = ask(resource, "/video", Range="bytes=3-5")
        self.assertEqual((reply.status, reply.body), (206, b"345"))
        self.assertEqual(reply.headers["content-type"], "video/mp4")
        self.assertIn(video.name, ask(resource, "/download").headers["content-disposition"])

    def test_spa(self) -> None:
        """Pages are the app, files are files, and hashed names are kept for ever."""
        folder = Path(self.mktemp())
        (folder / "assets").mkdir(parents=True)
        (folder / "index.html").write_bytes(b"app")
        (folder / "assets" / "app-3f2a9c1d.js").write_bytes(b"js")
        resource = load("spa").resource(str(folder))
        reply = ask(resource, "/users/42", Accept="text/html")
        self.assertEqual((reply.body, reply.headers["cache-control"]), (b"app", "no-cache"))
        reply = ask(resource, "/assets/app-3f2a9c1d.js")
        self.assertIn("immutable", reply.headers["cache-control"])
        self.assertEqual(ask(resource, "/assets/missing.js").status, 404)
