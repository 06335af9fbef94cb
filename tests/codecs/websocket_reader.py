"""A WebSocket client's side of frames, for tests: it can also write wrong ones."""

from __future__ import annotations

import struct

import attrs

MASK = b"\x37\xfa\x21\x3d"


@attrs.frozen
class Frame:
    """One frame."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0
    masked: bool = False


def read_frames(data: bytes) -> tuple[list[Frame], bytes]:
    """The frames in `data`, and what is left."""
    frames = []
    while len(data) >= 2:
        first, second = data[0], data[1]
        length, offset = second & 0x7F, 2
        if length == 126:
            if len(data) < 4:
                break
            length, offset = struct.unpack("!H", data[2:4])[0], 4
        elif length == 127:
            if len(data) < 10:
                break
            length, offset = struct.unpack("!Q", data[2:10])[0], 10
        if len(data) < offset + length:
            break
        frames.append(
            Frame(
                first & 0x0F,
                data[offset : offset + length],
                bool(first & 0x80),
                first >> 4 & 7,
                bool(second & 0x80),
            )
        )
        data = data[offset + length :]
    return frames, data


def client_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    length_bytes: int | None = None,
) -> bytes:
    """A frame as a client sends it, right or wrong.

    :param length_bytes: 0, 2 or 8, to state the length in a longer form than needed.
    """
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if masked else 0
    length = len(payload)
    if length_bytes is None:
        length_bytes = 0 if length < 126 else 2 if length < 65536 else 8
    if length_bytes == 0:
        head = bytes((first, bit | length))
    elif length_bytes == 2:
        head = struct.pack("!BBH", first, bit | 126, length)
    else:
        head = struct.pack("!BBQ", first, bit | 127, length)
    if not masked:
        return head + payload
    body = bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))
    return head + MASK + body


def client_close(code: int | None, reason: bytes = b"") -> bytes:
    """A client's close frame."""
    return client_frame(8, b"" if code is None else struct.pack("!H", code) + reason)
