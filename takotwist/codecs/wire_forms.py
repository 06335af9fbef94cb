"""Wire forms, and messages encoded once for each of them, not once for each subscriber.

Rule: the set of wire forms is closed and small; a connection picks one when it
opens and keeps it.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from takotwist.codecs import sse, websocket_frame
from takotwist.codecs.tako_json import encode_message, encode_message_with_params
from takotwist.core.topic import Message


@attrs.frozen(slots=True, eq=False)
class WireForm:
    """One way in which messages stand on a connection.

    :ivar name: for people.
    :ivar encode: message to frame.
    """

    name: str
    encode: Callable[[Message], bytes]

    def __repr__(self) -> str:
        return f"<wire form {self.name}>"


def _sse_block(message: Message) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (message.id, encode_message(message))


#: Server-Sent Events on HTTP/2 and HTTP/3, and to HTTP/1.0 clients.
SSE_RAW = WireForm("sse", _sse_block)

#: Server-Sent Events on HTTP/1.1, each block one chunk of the transfer coding.
SSE_CHUNKED = WireForm("sse chunked", lambda message: sse.chunk(_sse_block(message)))

#: A WebSocket text frame.
WEBSOCKET = WireForm(
    "websocket", lambda message: websocket_frame.text_frame(encode_message(message))
)

#: A WebSocket text frame of a connection that holds many topics.
WEBSOCKET_MUX = WireForm(
    "websocket mux",
    lambda message: websocket_frame.text_frame(encode_message_with_params(message)),
)


def _sse_mux_block(message: Message) -> bytes:
    return b"data: %b\n\n" % encode_message_with_params(message)


#: Server-Sent Events of a connection that holds many topics.
SSE_MUX_RAW = WireForm("sse mux", _sse_mux_block)

#: The same on HTTP/1.1, each block one chunk of the transfer coding.
SSE_MUX_CHUNKED = WireForm("sse mux chunked", lambda message: sse.chunk(_sse_mux_block(message)))

#: One line of JSON: byte streams that carry many topics.
LINES_MUX = WireForm("lines mux", lambda message: encode_message_with_params(message) + b"\n")


class Encoded:
    """A stored message together with its frames.

    :ivar id: of the message.
    :ivar size: of the message, in bytes.
    """

    __slots__ = ("_frames", "id", "message", "size")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.id = message.id
        self.size = message.size
        self._frames: dict[object, bytes] = {}

    def frame(self, form: object) -> bytes:
        """The message in `form`, a `WireForm`."""
        frame = self._frames.get(form)
        if frame is None:
            assert isinstance(form, WireForm)
            frame = self._frames[form] = form.encode(self.message)
        return frame
