"""An app elsewhere that can be made to behave as badly as apps do.

It serves the routes that the server asks (protocol, section 9) for a channel
``chat`` whose token ``member`` is let in.  Rule: how it behaves is one word.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

TOKEN = "token-of-server-and-app-0123456789"

#: How it may behave.
WAYS = ("well", "slow", "hanging", "garbage", "500", "token", "long", "closing")

_ROOM = {"type": "object", "properties": {"roomId": {"type": "string"}}, "required": ["roomId"]}


def definition(name: str) -> dict[str, Any]:
    """One entry of the registry."""
    return {
        "channel": name,
        "paramsSchema": _ROOM,
        "auth": {"headerName": "authorization"},
        "transport": "ws",
    }


class FailingApp:
    """The app.

    :ivar way: one of `WAYS`.
    :ivar at_once: calls under way at the moment; `most`: at any moment so far.
    :ivar channels: names in its registry.
    """

    def __init__(self) -> None:
        self.way = "well"
        self.at_once = self.most = self.calls = 0
        self.channels = ["chat"]
        self._gather = 0
        self._gathered = threading.Event()
        self._lock = threading.Lock()
        self.port = 0
        self._server: ThreadingHTTPServer | None = None
        self.start()

    def start(self) -> None:
        """Listen; on the same port as before."""
        app = self

        class Handler(_Handler):
            failing = app

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 512

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A caller that gave up is what is tested."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Listen no more, as an app in the middle of its restart."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def close(self) -> None:
        """Be done; whoever waits is let go."""
        self._gathered.set()
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def enter(self) -> None:
        with self._lock:
            self.calls += 1
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            if self.at_once >= self._gather:
                self._gathered.set()

    def leave(self) -> None:
        with self._lock:
            self.at_once -= 1

    def gather(self, count: int) -> None:
        """Have slow calls wait until there are so many at once."""
        self._gather = count
        self._gathered.clear()

    def dawdle(self) -> None:
        """What a slow call does."""
        self._gathered.wait(60)
        # Long enough for one too many to come.
        time.sleep(0.3)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    failing: ClassVar[FailingApp]

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("content-length", 0))))

    def _serve(self, body: bytes) -> None:
        app = self.failing
        app.enter()
        self._inside = True
        try:
            self._behave(app, body)
        finally:
            self._leave()

    def _leave(self) -> None:
        if self._inside:
            self._inside = False
            self.failing.leave()

    def _behave(self, app: FailingApp, body: bytes) -> None:
        way = app.way
        if self.path.endswith("/registry"):
            self._answer(200, json.dumps([definition(name) for name in app.channels]).encode())
            return
        if way == "hanging":
            # Until whoever asked has gone: what it is asked at once is then what is counted.
            self.connection.settimeout(60)
            self.connection.recv(1)
            self.close_connection = True
        elif way == "closing":
            self.close_connection = True
        elif way == "garbage":
            self._answer(200, b'{"ok": "\xff", garbage')
        elif way == "500":
            self._answer(500, b"a traceback with secrets")
        elif way == "token":
            self._answer(200, b'{"ok":true}', token="of-somebody-else")
        elif way == "long":
            self._answer(200, b" " * (2 << 20))
        else:
            if way == "slow":
                app.dawdle()
            self._well(body)

    def _well(self, body: bytes) -> None:
        asked = json.loads(body)
        if self.path.endswith("/authorize"):
            if asked.get("header", {}).get("value") == "member":
                self._answer(200, b'{"ok":true,"subject":"m1"}')
            else:
                self._answer(403, b'{"ok":false}')
        else:
            data = asked["frame"]["data"]
            self._answer(200, json.dumps({"action": "fanout", "data": data}).encode())

    def _answer(self, status: int, body: bytes, token: str = TOKEN) -> None:
        # Before it is told: who has the answer may ask the next one before this thread goes on.
        self._leave()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Tako-Internal-Token", token)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""
