"""A WebSocket client in memory, for the little of RFC 6455 that tests need.

Rule: what it is sent is kept in the order in which it came; pings are answered
only when the test says so.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import msgspec

from takotwist.core.json_values import Json
from takotwist.testing.memory_peer import HttpPeer

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

#: Any will do: masking is there for proxies, not for servers (RFC 6455, section 10.3).
MASK = b"\x01\x02\x03\x04"


class MemorySocket(HttpPeer):
    """One WebSocket."""

    def open(self, target: str, subprotocol: str | None, headers: Mapping[str, str]) -> None:
        """Send the handshake.  `status` is 101 where it was accepted."""
        fields = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        if subprotocol is not None:
            fields["Sec-WebSocket-Protocol"] = subprotocol
        self.ask("GET", target, {**fields, **headers}, b"")

    def say(self, frame: object) -> None:
        """Send a text frame: JSON, or a string as it is."""
        text = frame.encode() if isinstance(frame, str) else msgspec.json.encode(frame)
        self.send_frame(TEXT, text)

    def pong(self) -> None:
        """Prove to be there."""
        self.send_frame(PONG, b"")

    def close(self, code: int = 1000) -> None:
        """Begin, or answer, the closing handshake."""
        self.send_frame(CLOSE, struct.pack("!H", code))

    def send_frame(self, opcode: int, payload: bytes) -> None:
        """Send any frame, masked."""
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
        elif size < 65536:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
        masked = bytes(byte ^ MASK[place % 4] for place, byte in enumerate(payload))
        self.send(head + MASK + masked)

    @property
    def raw_frames(self) -> list[tuple[int, bytes]]:
        """Opcode and payload of each frame that has come whole."""
        if self.status != 101:
            return []
        rest = self.received.partition(b"\r\n\r\n")[2]
        frames = []
        while len(rest) >= 2:
            opcode, size, at = rest[0] & 15, rest[1] & 127, 2
            if size == 126:
                size, at = struct.unpack("!H", rest[2:4])[0], 4
            elif size == 127:
                size, at = struct.unpack("!Q", rest[2:10])[0], 10
            if len(rest) < at + size:
                break
            frames.append((opcode, rest[at : at + size]))
            rest = rest[at + size :]
        return frames

    @property
    def frames(self) -> list[Json]:
        """The text frames, read: messages and control frames."""
        return [msgspec.json.decode(data) for opcode, data in self.raw_frames if opcode == TEXT]

    @property
    def messages(self) -> list[Json]:
        """The messages among them."""
        return [frame for frame in self.frames if "op" not in frame]

    @property
    def ops(self) -> list[Json]:
        """The control frames among them."""
        return [frame for frame in self.frames if "op" in frame]

    @property
    def pings(self) -> int:
        """Number of pings from the server."""
        return sum(opcode == PING for opcode, _ in self.raw_frames)

    @property
    def close_reason(self) -> tuple[int, str] | None:
        """Code and reason of the server's close; `None` while it is open."""
        for opcode, data in self.raw_frames:
            if opcode == CLOSE:
                return struct.unpack("!H", data[:2])[0], data[2:].decode()
        return None
