"""The how-tos of FastAPI, Flask and Klein, done as they are written."""

from __future__ import annotations

import json
import sqlite3
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.page import DOCS, one
from tests.docs.running import Running, eventually
from tests.sockets.server_process import free_port


class _PageCase(SynchronousTestCase):
    timeout = 120
    page = ""

    def command(self, kind: str) -> str:
        """A command of the page."""
        return one(self.page, kind).text.replace("localhost:3000", f"127.0.0.1:{self.app_port}")

    def setUp(self) -> None:
        self.app_port = free_port()
        self.running = Running(DOCS / self.page)
        self.addCleanup(self.running.close)
        self.folder = self.running.folder

    def serve_app(self, command: str) -> None:
        """The app, on a port of its own, and the server that asks it."""
        self.running.environment |= {
            "TAKO_APP_TOKEN": "change-me",
            "TAKO_PUBLISH_URL": f"unix:{self.folder}/state/private.sock",
            "TAKO_APP_URL": f"http://127.0.0.1:{self.app_port}",
        }
        self.running.start(command, "app", errors_too=True)
        self.running.serve("twistd -n --pidfile= tako")

    def heard(self, kind: str) -> None:
        """Listen, as the page does."""
        self.running.start(self.command(kind), "heard")
        eventually(lambda: "id: " in self.running.said("heard"), "listening")


class TestFastApi(_PageCase):
    page = "howto/fastapi.md"

    def test_page(self) -> None:
        """What is posted to the app under uvicorn reaches who listens with a token of its own."""
        self.serve_app(f"uvicorn main:app --port {self.app_port}")
        self.heard("listen")
        stored = json.loads(self.running.run(self.command("post")))
        said = f'"id":"{stored["id"]}","channel":"chat","type":"msg"'
        eventually(lambda: said in self.running.said("heard"), "the message")
        self.assertIn('{"author":"alice","text":"hi"}', self.running.said("heard"))


class TestFlask(_PageCase):
    page = "howto/flask.md"

    def test_page(self) -> None:
        """A score that is posted to the app reaches who listens with the app's cookie."""
        self.serve_app(f"{sys.executable} -m flask --app app run --port {self.app_port}")
        eventually(
            lambda: self.running.run(self.command("login"), check=False).startswith("{"),
            "the app answers",
        )
        self.heard("listen")
        self.running.run(self.command("post"))
        eventually(lambda: '"data":{"home":1,"away":0}' in self.running.said("heard"), "the score")


class TestKlein(_PageCase):
    page = "howto/klein.md"

    def buy(self) -> None:
        """Buy a pen, as the page does."""
        self.heard("listen")
        self.assertRegex(self.running.run(self.command("buy")), r"^\d+$")
        eventually(lambda: '"data":{"count":9}' in self.running.said("heard"), "the count")
        self.assertIn("Pens left", self.running.run("curl -sf http://localhost:8080/"))

    def test_pages(self) -> None:
        """A route of the app's own pages publishes in the server's process."""
        self.running.serve(self.command("serve"))
        self.buy()

    def test_program(self) -> None:
        """The same as a service in a program of one's own, which closes its log in order."""
        program = self.running.serve(self.command("program"))
        self.buy()
        self.running.stop(program)
        eventually(lambda: self._boot() == "", "the log is closed in order")

    def _boot(self) -> str:
        # Which run of the machine may hold commits that are not on the disk; see the schema.
        db = sqlite3.connect(self.folder / "state" / "replay.sqlite")
        try:
            return str(db.execute("SELECT boot FROM store").fetchone()[0])
        finally:
            db.close()


del _PageCase
