"""The app elsewhere goes away: for two seconds, and for good."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import connect_sse
from twisted.trial.unittest import SynchronousTestCase
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.sockets.server_process import FAST, ServerProcess, free_port, wait_until

TOKEN = "token-of-app-and-server-0123456789"

#: An app on the standard library's server: it lets in whoever is called member.
APP = """
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from takotwist import Grant, define_channel
from takotwist.app.wsgi import internal_app

club = define_channel("club")

@club.verify(header="authorization")
def verify(request):
    return Grant(subject="m1") if request.header.value == "member" else False

@club.on("msg")
def said(data, context):
    return {"by": context.subject, "said": data}

class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass

make_server(
    "127.0.0.1",
    int(sys.argv[1]),
    internal_app(channels=[club], token=sys.argv[2]),
    server_class=Server,
    handler_class=Quiet,
).serve_forever()
"""

MEMBER = {"Authorization": "Bearer member"}


class AppDownTests(SynchronousTestCase):
    """Clients that connect while nobody can say whether they may."""

    def setUp(self) -> None:
        self.app_port = free_port()
        self.app: subprocess.Popen[bytes] | None = None

    def start(self, more: str = "") -> None:
        """App and server; `more` stands in the configuration of the app."""
        config = f'[app]\nurl = "http://127.0.0.1:{self.app_port}"\ntoken = "{TOKEN}"\n'
        self.server = ServerProcess(f"{FAST}{config}{more}", channels=None)
        self.addCleanup(self.server.close)
        (self.server.folder / "app.py").write_text(APP)
        self.addCleanup(self.stop_app)
        self.start_app()
        self.server.start()

    def start_app(self) -> None:
        program = Path(self.server.folder / "app.py")
        command = [sys.executable, str(program), str(self.app_port), TOKEN]
        self.app = subprocess.Popen(command, stderr=subprocess.DEVNULL)

        def answers() -> bool:
            try:
                httpx.get(f"http://127.0.0.1:{self.app_port}/", timeout=30)
            except httpx.TransportError:
                return False
            return True

        wait_until(answers, "the app")

    def stop_app(self) -> None:
        if self.app is not None:
            self.app.kill()
            self.app.wait()
            self.app = None

    def socket(self, *names: str, **options: Any) -> Any:
        subprotocols: Any = names or None
        options.setdefault("additional_headers", MEMBER)
        options.setdefault("open_timeout", 60)
        return connect(
            f"ws://127.0.0.1:{self.server.port}/channels/club",
            subprotocols=subprotocols,
            **options,
        )

    def test_for_two_seconds(self) -> None:
        """Clients that connect while the app is restarted wait, and all are let in."""
        # The app takes longer than that to start on no machine.
        self.start("deadline_seconds = 50\n")
        outcomes: list[object] = []

        def subscribe() -> None:
            with (
                httpx.Client(base_url=self.server.url, timeout=60) as client,
                connect_sse(client, "GET", "/channels/club", headers=MEMBER) as source,
            ):
                outcomes.append(source.response.status_code)

        def open_socket() -> None:
            with self.socket("tako.v1", open_timeout=60) as one:
                outcomes.append(json.loads(one.recv(60))["op"])

        subscribe()
        self.assertEqual(outcomes.pop(), 200)
        self.stop_app()
        threads = [threading.Thread(target=one) for one in [subscribe, open_socket] * 5]
        for thread in threads:
            thread.start()
        time.sleep(2)
        self.assertEqual(outcomes, [])
        self.start_app()
        for thread in threads:
            thread.join(60)
        self.assertEqual(sorted(map(str, outcomes)), ["200"] * 5 + ["open"] * 5)
        self.server.assert_clean(TOKEN, "member")

    def test_for_good(self) -> None:
        """503 with Retry-After, 1013 on WebSocket; who is connected goes on reading."""
        self.start()
        with (
            self.socket("tako.v1") as before,
            httpx.Client(base_url=self.server.url, timeout=60) as client,
        ):
            self.assertEqual(json.loads(before.recv(60))["op"], "open")
            self.stop_app()
            outcomes: dict[str, object] = {}

            def over_http() -> None:
                answer = client.get("/channels/club", headers=MEMBER)
                outcomes["SSE"] = answer.status_code, answer.json()["code"]
                outcomes["Retry-After"] = int(answer.headers["Retry-After"]) > 0

            def over_socket() -> None:
                with self.socket("tako.v1") as one:
                    try:
                        one.recv(60)
                    except ConnectionClosed as closed:
                        assert closed.rcvd is not None
                        outcomes["tako.v1"] = closed.rcvd.code, closed.rcvd.reason

            def over_plain_socket() -> None:
                try:
                    self.socket().close()
                except InvalidStatus as refused:
                    outcomes["plain"] = refused.response.status_code

            asking = (over_http, over_socket, over_plain_socket)
            threads = [threading.Thread(target=one) for one in asking]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            self.assertEqual(
                outcomes,
                {
                    "SSE": (503, "auth-unavailable"),
                    "Retry-After": True,
                    "tako.v1": (1013, "auth-unavailable"),
                    "plain": 503,
                },
            )
            with self.server.private() as private:
                message = {"type": "msg", "data": "still here"}
                self.assertEqual(private.post("/channels/club", json=message).status_code, 200)
            self.assertEqual(json.loads(before.recv(60))["data"], "still here")
            # And with the app, all is as it was.
            self.start_app()
            before.send(json.dumps({"type": "msg", "data": "hi", "ref": 1}))
            frames = [json.loads(before.recv(60)) for _ in range(2)]
            self.assertIn({"by": "m1", "said": "hi"}, [frame.get("data") for frame in frames])
        self.server.assert_clean(TOKEN, "member")
