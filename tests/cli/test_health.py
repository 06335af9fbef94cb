"""`tako health`: what a container's check and somebody at a terminal are told."""

from __future__ import annotations

import tempfile
import threading
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingUnixStreamServer

from click.testing import Result

from tests.cli.command import CommandTestCase


class _Answering(BaseHTTPRequestHandler):
    """A server that is as its `says` says."""

    says: tuple[int, bytes] = (200, b"")
    asked: list[str] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        status, body = self.says
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on standard error."""

    def address_string(self) -> str:
        return "unix"


class HealthTests(CommandTestCase):
    """One question, one exit status."""

    def setUp(self) -> None:
        super().setUp()
        # Not in the folder of the test, whose path may be longer than that of a socket may be.
        folder = tempfile.TemporaryDirectory(prefix="tako")
        self.addCleanup(folder.cleanup)
        self.socket = f"{folder.name}/p.sock"
        self.write("tako.toml", f'[private]\nlisten = ["unix:{self.socket}"]\n')

    def answering(self, status: int, body: bytes) -> type[_Answering]:
        """A server at the private socket of the configuration."""
        kind = type("Answering", (_Answering,), {"says": (status, body), "asked": []})
        server = ThreadingUnixStreamServer(self.socket, kind)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return kind

    def health(self, *arguments: str) -> Result:
        """The command, with the time of a busy machine for an answer."""
        return self.run_command("health", "--timeout", "60", *arguments)

    def test_ready(self) -> None:
        """It serves: 0, and its answer."""
        asked = self.answering(200, b'{"live":true,"ready":true}').asked
        said = self.health()
        self.assertEqual((said.exit_code, said.output), (0, '{"live":true,"ready":true}\n'))
        self.assertEqual(self.health("--live").exit_code, 0)
        self.assertEqual(asked, ["/_tako/health", "/_tako/health?live"])

    def test_not_ready(self) -> None:
        """It lives and takes no new clients: 1, and its answer."""
        self.answering(503, b'{"live":true,"ready":false}')
        said = self.health()
        self.assertEqual((said.exit_code, said.output), (1, '{"live":true,"ready":false}\n'))

    def test_nobody(self) -> None:
        """Nobody answers, or somebody else: 1, and a sentence."""
        said = self.health()
        self.assertEqual(said.exit_code, 1)
        self.assertRegex(said.stderr, r"^Error: no server answers at unix:.*p\.sock: No such file")
        self.answering(200, b"<html>")
        said = self.health()
        self.assertEqual(said.exit_code, 1)
        self.assertIn("answered 200; is it a takotwist server?", said.stderr)
        said = self.health("--server", "nowhere")
        self.assertTrue(said.stderr.startswith("Error: Publisher: url: must be"), said.stderr)
