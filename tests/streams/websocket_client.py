"""A WebSocket client in memory that can say anything, and hears everything."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.server import NOT_DONE_YET

from takotwist.streams.websocket.route import WebSocketConfig, websocket
from tests.codecs.websocket_reader import Frame, client_close, client_frame, read_frames
from tests.streams.exchange import Http1Exchange, run_due

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class WebSocketExchange(Http1Exchange):
    """One client, connected to `handler` by `websocket`.

    :ivar over: fires when `websocket` says that all is over.
    :ivar head: of the answer to the handshake: status and headers.
    """

    def __init__(
        self,
        handler: Callable[[Any], Any],
        config: WebSocketConfig | None = None,
        *lines: str,
        target: str = "/",
        connect: bool = True,
        limits: Any = None,
        **site: Any,
    ) -> None:
        self.over: Deferred[None]
        self.request: Any = None

        def answer(request: Any) -> Any:
            self.request = request
            self.over = websocket(request, handler, config)
            return NOT_DONE_YET

        super().__init__(answer, limits, **site)
        self._rest = b""
        if connect:
            self.handshake(*lines, target=target)

    def handshake(self, *lines: str, target: str = "/") -> None:
        """Ask for the upgrade, and read the answer."""
        self.ask_upgrade(*lines, target=target)
        status, fields, self._rest = self.answer()
        self.head = (status, fields)

    def ask_upgrade(self, *lines: str, target: str = "/") -> None:
        """Ask for it."""
        self.ask(
            target,
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {KEY}",
            *lines,
        )

    def send(self, *frames: bytes) -> None:
        """Send frames in one write."""
        self.transport.deliver(b"".join(frames))

    def turns(self) -> None:
        """Let the server have the turns that it needs for what was sent."""
        while any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
            run_due(self.clock)

    def text(self, text: str) -> None:
        """Send a text message."""
        self.send(client_frame(1, text.encode()))

    def heard(self) -> list[Frame]:
        """The frames that came since the last call."""
        frames, self._rest = read_frames(self._rest + self.transport.take())
        return frames

    def said(self) -> list[tuple[int, bytes]]:
        """The same as pairs of opcode and payload."""
        return [(frame.opcode, frame.payload) for frame in self.heard()]

    def closed_with(self) -> int | None:
        """The code of a close frame that came; `None` for none, 1005 for an empty one."""
        for frame in self.heard():
            if frame.opcode == 8:
                return 1005 if not frame.payload else int(struct.unpack("!H", frame.payload[:2])[0])
        return None

    def close(self, code: int | None = 1000, reason: bytes = b"") -> None:
        """Send a close."""
        self.send(client_close(code, reason))


def deflated(payload: bytes, bits: int = 15) -> bytes:
    """`payload` as permessage-deflate has it."""
    compressor = zlib.compressobj(wbits=-bits)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflated(payload: bytes, bits: int = 15) -> bytes:
    """What a message with permessage-deflate says."""
    return zlib.decompressobj(-bits).decompress(payload + b"\x00\x00\xff\xff")
