"""Webhooks of a real server: killed between the commit and the delivery, and where it may ask."""

from __future__ import annotations

import json
import subprocess
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook
from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.trial.unittest import SynchronousTestCase, TestCase

from takotwist.adapters.webhook_sender import WebhookSender, is_public
from takotwist.errors import Unreachable
from tests.sockets.server_process import FAST, ServerProcess, wait_until
from tests.sockets.test_pusher_clients import FOLDER, INSTALL

SECRET = "whsec_" + b64encode(b"a secret of at least 24 bytes").decode()


class Receiver:
    """An HTTP server that takes webhooks.

    :ivar status: of its answers; `got`: headers and body of each request.
    """

    def __init__(self) -> None:
        self.status = 200
        self.got: list[tuple[dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(outer.status)
                if outer.status == 302:
                    self.send_header("Location", outer.url + "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def events(self) -> list[dict[str, Any]]:
        """The bodies, read."""
        return [json.loads(body) for _, body in list(self.got)]

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class ServerTests(SynchronousTestCase):
    """A server with one endpoint."""

    def setUp(self) -> None:
        self.receiver = Receiver()
        self.addCleanup(self.receiver.close)
        config = (
            f'\n[webhooks.endpoints.app]\nurl = "{self.receiver.url}"\n'
            f'secret = "{SECRET}"\nprivate = true\nevents = ["topic.occupied", "topic.vacated"]\n'
        )
        self.server = ServerProcess(FAST + config)
        self.addCleanup(self.server.close)
        self.server.start()

    def types(self) -> list[str]:
        return [one["type"] for one in self.receiver.events()]

    def test_killed(self) -> None:
        """Killed after an event was stored and before it was taken; the next run delivers it."""
        self.receiver.status = 500
        import httpx

        with httpx.stream("GET", f"{self.server.url}/channels/news", timeout=None):
            wait_until(lambda: self.receiver.got, "an event was tried")
            first = self.receiver.got[0][0]["webhook-id"]
            self.server.kill()
        self.receiver.status = 200
        before = len(self.receiver.got)
        self.server.start()
        wait_until(lambda: len(self.receiver.got) > before, "it is tried again")
        self.assertEqual(self.receiver.got[before][0]["webhook-id"], first)
        # Nobody is back: that is told as well.
        wait_until(lambda: self.types()[-1] == "topic.vacated", "it is vacated")
        self.assertEqual(self.types()[before:], ["topic.occupied", "topic.vacated"])

    def test_libraries(self) -> None:
        """Both libraries of Standard Webhooks take what is sent."""
        subprocess.run(["sh", str(INSTALL), str(FOLDER)], check=True, timeout=300)
        import httpx

        with httpx.stream("GET", f"{self.server.url}/channels/news", timeout=None):
            wait_until(lambda: self.receiver.got, "an event was sent")
        [(headers, body), *_] = self.receiver.got
        Webhook(SECRET).verify(body.decode(), headers)
        lines = [
            json.dumps({"headers": headers, "body": body.decode()}),
            json.dumps({"headers": headers, "body": body.decode() + " "}),
        ]
        said = subprocess.run(
            ["node", "verify.mjs", SECRET],
            cwd=FOLDER,
            input="\n".join(lines),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        self.assertEqual(said[0], "good")
        self.assertIn("No matching signature", said[1])


class SenderTests(TestCase):
    """Where it asks, and what it takes for an answer."""

    def setUp(self) -> None:
        self.receiver = Receiver()
        self.sender = WebhookSender(reactor, 60.0)

    def tearDown(self) -> None:
        self.receiver.close()

    @inlineCallbacks
    def test_answers(self) -> Any:
        """A redirect is an answer, and is not followed."""
        for status in (200, 302, 500):
            self.receiver.status = status
            answer = yield self.sender.post(self.receiver.url, {"x": "y"}, b"{}", True)
            self.assertEqual(answer, (status, 0.0))
        self.assertEqual(len(self.receiver.got), 3)

    @inlineCallbacks
    def test_private(self) -> Any:
        """Addresses that are not public are asked only where that is allowed, by name too."""
        port = self.receiver.url.split(":")[2]
        yield self.sender.post(self.receiver.url, {}, b"{}", True)
        for host in ("127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254"):
            with self.assertRaises(Unreachable):
                yield self.sender.post(f"http://{host}:{port}", {}, b"{}", False)
        self.assertEqual(len(self.receiver.got), 1)

    @inlineCallbacks
    def test_nobody(self) -> Any:
        with self.assertRaises(Unreachable):
            yield self.sender.post("http://127.0.0.1:1/", {}, b"{}", True)

    def test_is_public(self) -> None:
        for address in ("8.8.8.8", "2606:4700::1111"):
            self.assertTrue(is_public(address), address)
        for address in (
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.16.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "::1",
            "fe80::1%eth0",
            "fc00::1",
            "::ffff:127.0.0.1",
            "::",
        ):
            self.assertFalse(is_public(address), address)
