"""The page of OpenAI's event streams: its app and its reader, with the package as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.page import DOCS, one
from tests.docs.running import Running, eventually
from tests.sockets.cut_once import CutOnce
from tests.sockets.server_process import free_port

PAGE = "howto/openai.md"

WHOLE = "".join(f"wörd {number}, " for number in range(40))


class OpenAiTests(SynchronousTestCase):
    """The model, the app and the server of streams, and lines that are cut."""

    timeout = 120

    def setUp(self) -> None:
        upstream, self.port = free_port(), free_port()
        self.running = running = Running(
            DOCS / PAGE,
            UPSTREAM=f"http://127.0.0.1:{upstream}/v1",
            OPENAI_API_KEY="of-the-upstream",
        )
        self.addCleanup(running.close)
        running.environment["MODEL_FOLDER"] = str(running.folder)
        shutil.copy(Path(__file__).with_name("upstream_model.py"), running.folder)
        self.tako = running.serve(one(PAGE, "serve").text)
        running.start(
            f"exec uvicorn upstream_model:app --port {upstream}", "model.log", errors_too=True
        )
        command = one(PAGE, "uvicorn").text.replace("8001", str(self.port))
        running.start(command, "app.log", errors_too=True)
        for log in ("model.log", "app.log"):
            self.until(lambda log=log: "startup complete" in running.said(log), f"{log}: it runs")

    def until(self, true: object, what: str) -> None:
        try:
            eventually(true, what)  # type: ignore[arg-type]
        except AssertionError as late:
            logs = [self.running.said(log) for log in ("app.log", "model.log", "error", "first")]
            raise AssertionError(f"{late}: {logs}") from None

    def read(self, port: int, name: str) -> None:
        """Start the reader of the page; what it prints is in a file."""
        self.running.start(f"exec python reader.py http://127.0.0.1:{port}/v1 2>error", name)

    def test_cut(self) -> None:
        """Cut three times, the server of streams killed: the reader has exactly the text, and the
        model was asked once.  There is no answer of a name that nobody was given."""
        needles = (b"rd 7, ", b"rd 15, ", b"rd 30, ")
        relay = CutOnce(self.port, *needles)
        self.addCleanup(relay.close)
        self.read(relay.port, "first")
        self.until(lambda: "wörd 20, " in self.running.said("first"), "the first words")
        self.running.kill(self.tako)
        self.running.serve("tako serve")
        self.running.write("go", "")
        self.until(lambda: self.running.said("first").endswith("wörd 39, "), "the last words")
        self.assertEqual(self.running.said("first"), WHOLE)
        self.assertEqual(relay.cuts, len(needles))
        self.assertEqual(self.running.said("asked"), "once\n")
        nobodys = "00000000-0000-0000-0000-000000000000"
        unknown = self.running.run(f"curl -s http://127.0.0.1:{self.port}/v1/answers/{nobodys}")
        self.assertIn("There is no stream", unknown)

    def test_broken_off(self) -> None:
        """A model that breaks off is an error of the package, and no end without a word."""
        self.read(self.port, "first")
        self.until(lambda: "wörd 20, " in self.running.said("first"), "the first words")
        self.running.write("break", "")
        self.until(lambda: "The model broke off." in self.running.said("error"), "the error")
        self.assertIn("openai.APIError", self.running.said("error"))
        self.assertIn("the upstream failed", self.running.said("app.log"))
