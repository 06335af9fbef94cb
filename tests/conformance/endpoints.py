"""The endpoints that speak WebSocket, and how a message is told on each.

Rule: what comes back is judged as text, so one case fits all of them.
"""

from __future__ import annotations

import base64
import json
import os
import socket
from collections.abc import Sequence
from itertools import count

from tests.codecs.websocket_reader import Frame, client_frame, read_frames
from tests.sockets.server_process import FAST, ServerProcess

#: An app's own pages, with the streaming primitive on them: without compression and with.
PAGES = """
from klein import Klein
from takotwist.streams.websocket.route import websocket
from takotwist.streams.websocket.config import Deflate, WebSocketConfig
from twisted.internet import reactor

app = Klein()
SIZES = {"max_frame_size": 1 << 20, "max_message_size": 1 << 20, "max_queued": 1000}
PLAIN = WebSocketConfig(allowed_origins="*", **SIZES)
KINDS = {
    "any": Deflate(compress_from=0),
    "no-takeover": Deflate(
        compress_from=0, server_context_takeover=False, client_context_takeover=False
    ),
    "small": Deflate(compress_from=0, server_max_window_bits=9, client_max_window_bits=9),
    "threshold": Deflate(compress_from=256),
}
DEFLATED = {
    kind: WebSocketConfig(allowed_origins="*", deflate=deflate, **SIZES)
    for kind, deflate in KINDS.items()
}

async def echo(ws):
    async for message in ws:
        await ws.send(message)

@app.route("/echo")
def plain(request):
    return websocket(request, echo, PLAIN, reactor=reactor)

@app.route("/deflated/<kind>")
def deflated(request, kind):
    return websocket(request, echo, DEFLATED[kind], reactor=reactor)
"""

_numbers = count()


def serve() -> ServerProcess:
    """A server with all endpoints, started."""
    server = ServerProcess(f'{FAST}\n[app]\nchannels = "channels"\npages = "echo_pages:app"\n')
    (server.folder / "echo_pages.py").write_text(PAGES)
    return server.start()


class Endpoint:
    """One connection to one endpoint, opened and ready for a case."""

    subprotocol = ""

    def __init__(self, server: ServerProcess, extensions: str = "") -> None:
        self.room = f"r{next(_numbers)}"
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = [
            f"GET {self.target()} HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        ]
        if self.subprotocol:
            lines.append(f"Sec-WebSocket-Protocol: {self.subprotocol}")
        if extensions:
            lines.append(f"Sec-WebSocket-Extensions: {extensions}")
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._rest = b""
        self.head = self._answer()
        self._heard: list[Frame] = []
        self.opened()

    def target(self) -> str:
        """The path."""
        return "/echo"

    def envelope(self, text: str) -> tuple[bytes, bytes, bytes]:
        """What is before, in and behind a text on the wire."""
        return b"", text.encode(), b""

    def told(self, payload: bytes) -> str:
        """What a text frame of the server says."""
        return payload.decode()

    def opened(self) -> None:
        """Be ready for a case."""

    def send(self, pieces: Sequence[bytes]) -> None:
        """Send, a segment a piece; a server that has closed meanwhile does not matter here."""
        for piece in pieces:
            try:
                self._socket.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                return

    def frame(self) -> Frame | None:
        """The next frame; `None` where the server has hung up.

        :raises TimeoutError: neither comes.
        """
        while True:
            frames, self._rest = read_frames(self._rest)
            self._heard += frames
            if self._heard:
                return self._heard.pop(0)
            data = self._socket.recv(1 << 20)
            if not data:
                return None
            self._rest += data

    def hung_up(self) -> bool:
        """Whether the server hangs up, without another word."""
        try:
            return self.frame() is None
        except ConnectionResetError:
            # It waited for our close in the middle of a frame that we never ended.
            return True

    def answer_close(self, frame: Frame) -> None:
        """Say the same close back."""
        self.send([client_frame(8, frame.payload[:2])])

    def close(self) -> None:
        """Be done."""
        self._socket.close()

    def _answer(self) -> dict[str, str]:
        data = b""
        while b"\r\n\r\n" not in data:
            more = self._socket.recv(4096)
            assert more, data
            data += more
        head, _, self._rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        assert " 101 " in first, head
        return dict(line.lower().split(": ", 1) for line in lines)


class Plain(Endpoint):
    """A channel, without a subprotocol."""

    def target(self) -> str:
        return f"/_tako/channels/chat?roomId={self.room}"

    def envelope(self, text: str) -> tuple[bytes, bytes, bytes]:
        return _around({"type": "msg"}, text)

    def told(self, payload: bytes) -> str:
        said = json.loads(payload)
        if said.get("op") == "error":
            return f"error({said['code']})"
        assert set(said) - {"params"} == {"id", "channel", "type", "data"}, said
        return str(said["data"])


class Explicit(Plain):
    """A channel, with ``tako.v1``."""

    subprotocol = "tako.v1"

    def opened(self) -> None:
        self._control("open")

    def _control(self, op: str) -> None:
        frame = self.frame()
        assert frame is not None and json.loads(frame.payload)["op"] == op, frame


class Mux(Explicit):
    """The connection to many topics, with one of them."""

    def target(self) -> str:
        return "/_tako/connect"

    def envelope(self, text: str) -> tuple[bytes, bytes, bytes]:
        topic = {"channel": "chat", "params": {"roomId": self.room}}
        return _around({"op": "publish", **topic, "type": "msg"}, text)

    def opened(self) -> None:
        super().opened()
        subscribe = {
            "op": "subscribe",
            "ref": 1,
            "channel": "chat",
            "params": {"roomId": self.room},
        }
        self.send([client_frame(1, json.dumps(subscribe).encode())])
        self._control("ack")


def _around(message: dict[str, object], text: str) -> tuple[bytes, bytes, bytes]:
    whole = json.dumps({**message, "data": ""})
    inside = json.dumps(text, ensure_ascii=False)[1:-1]
    return whole[:-2].encode(), inside.encode(), whole[-2:].encode()


#: By name, as cases have it.
KINDS: dict[str, type[Endpoint]] = {
    "streams": Endpoint,
    "plain": Plain,
    "explicit": Explicit,
    "mux": Mux,
}
