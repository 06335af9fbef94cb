"""Clients that read a topic as bytes come, and can be cut between any two of them.

The parsers are other people's (h11, websockets); only the sockets are driven
here, because a library that owns its socket cannot be cut in the middle of a
message.  Rule: a message counts as seen when it was parsed whole, as for a user.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import h11
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from tests.codecs.event_source_parser import parse


class Cut(Exception):
    """The connection has ended.

    :ivar status: of the HTTP answer, where it was none that begins a stream.
    :ivar code: and `reason` of a WebSocket's close.
    """

    def __init__(self, status: int = 0, code: int = 0, reason: str = "") -> None:
        super().__init__(f"{status or code} {reason}")
        self.status, self.code, self.reason = status, code, reason


class Reader:
    """Reads one topic, connection after connection.

    :ivar messages: all that was seen, unless `on_message` does something else with it.
    :ivar cursor: where to resume; begin with ``"0"`` for the whole window.
    :ivar connections: so far.
    """

    def __init__(
        self,
        port: int,
        channel: str,
        params: dict[str, str],
        cursor: str = "0",
        *,
        receive_buffer: int | None = None,
    ) -> None:
        self.port, self.channel, self.params, self.cursor = port, channel, params, cursor
        self.messages: list[dict[str, Any]] = []
        self.on_message: Callable[[dict[str, Any]], None] = self.messages.append
        self.connections = 0
        self.begun = False
        self._socket: socket.socket | None = None
        self._receive_buffer = receive_buffer

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._socket is not None

    def connect(self) -> None:
        """Connect, resuming at the cursor.

        :raises OSError: nobody listens, or not any more.
        """
        self._socket = socket.socket()
        if self._receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        try:
            self._socket.connect(("127.0.0.1", self.port))
            self.connections += 1
            self.begun = False
            self._begin()
        except OSError:
            self.cut()
            raise

    def read(self, most: int = 65536, timeout: float = 30.0) -> None:
        """Take up to `most` bytes.

        :raises Cut: the connection has ended.
        """
        assert self._socket is not None, "not connected"
        self._socket.settimeout(timeout)
        try:
            data = self._socket.recv(most)
        except ConnectionResetError:
            data = b""
        try:
            self._received(data)
            if not data:
                raise Cut
        except Cut:
            self.cut()
            raise
        except ConnectionError:
            # Something was to be sent for it, and nobody is there any more.
            self.cut()
            raise Cut from None

    def begin(self) -> Reader:
        """Connect, and read until the subscription has begun."""
        self.connect()
        while not self.begun:
            self.read()
        return self

    def read_until(self, count: int) -> None:
        """Read until so many messages were seen in all."""
        while len(self.messages) < count:
            self.read()

    def cut(self, *, abort: bool = False) -> None:
        """Close the socket without a word; `abort` with RST."""
        if self._socket is not None:
            if abort:
                self._socket.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        """Be done."""
        self.cut()

    def _begin(self) -> None:
        raise NotImplementedError

    def _received(self, data: bytes) -> None:
        raise NotImplementedError

    def _send(self, data: bytes) -> None:
        assert self._socket is not None
        self._socket.sendall(data)

    def _message(self, message: dict[str, Any]) -> None:
        self.on_message(message)
        self.cursor = message["id"]

    def _target(self, **more: str) -> str:
        return f"/_tako/channels/{self.channel}?{urlencode({**self.params, **more})}"


class SseReader(Reader):
    """Over Server-Sent Events."""

    def _begin(self) -> None:
        self._http = h11.Connection(h11.CLIENT)
        self._rest = b""
        headers = [("Host", "localhost"), ("Accept", "text/event-stream")]
        if self.cursor:
            headers.append(("Last-Event-ID", self.cursor))
        request = h11.Request(method="GET", target=self._target(), headers=headers)
        self._send(self._http.send(request) or b"")
        self._send(self._http.send(h11.EndOfMessage()) or b"")

    def _received(self, data: bytes) -> None:
        self._http.receive_data(data)
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError:
                raise Cut from None
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return
            if isinstance(event, h11.Response) and event.status_code != 200:
                raise Cut(status=event.status_code)
            if isinstance(event, h11.Data):
                self._events(bytes(event.data))
            if isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                raise Cut

    def _events(self, data: bytes) -> None:
        # The first bytes say that it has begun, with a block or without.
        self.begun = True
        whole, separator, rest = (self._rest + data).rpartition(b"\n\n")
        self._rest = rest
        if not separator:
            return
        parsed = parse(whole + separator)
        for name, text, _ in parsed.events:
            assert name in ("message", "tako.open"), name
            if name == "message":
                self._message(json.loads(text))
        if parsed.last_event_id:
            self.cursor = parsed.last_event_id


class WebSocketReader(Reader):
    """Over a plain WebSocket.  It begins with its handshake."""

    subprotocol: str | None = None

    def _path(self) -> str:
        return self._target(**({"last_message_id": self.cursor} if self.cursor else {}))

    def _begin(self) -> None:
        names = [Subprotocol(self.subprotocol)] if self.subprotocol else None
        uri = parse_uri(f"ws://127.0.0.1:{self.port}{self._path()}")
        self._websocket = ClientProtocol(uri, subprotocols=names, max_size=None)
        self._websocket.send_request(self._websocket.connect())
        self._flush()

    def send(self, frame: object) -> None:
        """Send a frame of JSON."""
        self._websocket.send_text(json.dumps(frame).encode())
        self._flush()

    def _flush(self) -> None:
        for data in self._websocket.data_to_send():
            if data:
                self._send(data)

    def _received(self, data: bytes) -> None:
        websocket = self._websocket
        if data:
            websocket.receive_data(data)
        else:
            websocket.receive_eof()
        for event in websocket.events_received():
            if isinstance(event, Response):
                if event.status_code != 101:
                    raise Cut(status=event.status_code)
                self._opened()
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self._frame(json.loads(bytes(event.data)))
        if websocket.handshake_exc is not None and websocket.state.name == "CLOSED":
            raise Cut
        if data:
            # Whoever closes may be gone before our answer to it; what it said counts all the same.
            with suppress(ConnectionError):
                self._flush()
        if websocket.close_rcvd is not None:
            raise Cut(code=websocket.close_rcvd.code, reason=websocket.close_rcvd.reason)

    def _opened(self) -> None:
        self.begun = True

    def _frame(self, frame: dict[str, Any]) -> None:
        self._message(frame)


class ExplicitReader(WebSocketReader):
    """Over ``tako.v1``, one channel."""

    subprotocol = "tako.v1"

    def _opened(self) -> None:
        """Not yet: the open frame says so."""

    def _frame(self, frame: dict[str, Any]) -> None:
        if frame.get("op") == "open":
            self.begun = True
            self.cursor = frame["cursor"]
        elif "op" not in frame:
            self._message(frame)


class MuxReader(ExplicitReader):
    """Over a connection that could hold many topics.

    :ivar refused: error frames that came.
    """

    refused: tuple[dict[str, Any], ...] = ()

    def _path(self) -> str:
        return "/_tako/connect"

    def _frame(self, frame: dict[str, Any]) -> None:
        match frame.get("op"):
            case "open":
                subscribe = {
                    "op": "subscribe",
                    "ref": 1,
                    "channel": self.channel,
                    "params": self.params,
                }
                self.send({**subscribe, "cursor": self.cursor} if self.cursor else subscribe)
            case "ack":
                self.begun = True
                self.cursor = frame["cursor"]
            case "error":
                self.refused = (*self.refused, frame)
            case None:
                assert frame["params"] == self.params
                self._message(frame)


#: Every way to read a topic, by name.
READERS: dict[str, type[Reader]] = {
    "SSE": SseReader,
    "WebSocket": WebSocketReader,
    "tako.v1": ExplicitReader,
    "mux": MuxReader,
}
