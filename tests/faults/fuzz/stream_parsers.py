"""Parsers below the channels: heads, frames, handshakes, addresses, the configuration.

Rule: as in `parsers`; and where bytes may come in pieces, pieces make no difference.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from twisted.web.http_headers import Headers

from takotwist.codecs.frames import Bad, read_client_frame
from takotwist.core.authorization import HeaderCredential
from takotwist.live.machine.codec import Unreadable, read_binary, read_text, write
from takotwist.server.config.endpoint_text import EndpointText, UdpAddress
from takotwist.server.config.load import load_config
from takotwist.streams.files.folder import resolve
from takotwist.streams.http.head import read_head
from takotwist.streams.http.http2_limits import Intake
from takotwist.streams.websocket.config import Deflate
from takotwist.streams.websocket.handshake import (
    agree,
    check_handshake,
    choose_subprotocol,
    offered_subprotocols,
)
from takotwist.streams.websocket.protocol import AutobahnProtocol
from takotwist.streams.websocket.route import WebSocket, WebSocketConfig
from takotwist.transports.publish.route import PublishKeys
from tests.codecs.websocket_reader import client_close, client_frame
from tests.faults.fuzz.parser import Parser
from tests.streams.websocket_client import WebSocketExchange

_KEYS = PublishKeys.of(["the-only-key-0123456789"])


def _upgrade(data: bytes) -> object:
    headers = Headers()
    for line in data.split(b"\n"):
        name, _, value = line.partition(b":")
        # Other names were refused by the reader of the head.
        if name.replace(b"-", b"").isalpha():
            headers.addRawHeader(name, value.strip())
    offered = offered_subprotocols(headers)
    chosen = choose_subprotocol(["tako.v1"], offered)
    assert chosen in (None, "tako.v1")
    return check_handshake(b"GET", b"HTTP/1.1", headers)


def _extensions(data: bytes) -> object:
    protocol: Any = AutobahnProtocol.__new__(AutobahnProtocol)
    offers = protocol._parseExtensionsHeader(data.decode("latin-1"))
    agreed = agree(offers, Deflate(), 1000)
    return None if agreed is None else str(agreed)


async def _echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


def _websocket(data: bytes) -> None:
    config = WebSocketConfig(ping_interval=None, deflate=Deflate(), max_message_size=1000)
    whole, pieces = (
        WebSocketExchange(_echo, config, "Sec-WebSocket-Extensions: permessage-deflate")
        for _ in range(2)
    )
    whole.send(data)
    for at in range(len(data)):
        pieces.send(data[at : at + 1])
    said = [(frame.opcode, frame.payload[:2]) for frame in whole.heard()]
    assert [(frame.opcode, frame.payload[:2]) for frame in pieces.heard()] == said
    for client in (whole, pieces):
        client.transport.hang_up()
        assert client.clock.getDelayedCalls() == []


def _intake(data: bytes) -> None:
    whole, pieces = Intake(100), Intake(100)
    going = whole.take(data, 0.0)
    for at in range(len(data)):
        if not pieces.take(data[at : at + 1], 0.0):
            assert not going
            return
    assert going
    assert (whole.unfinished, whole.begun) == (pieces.unfinished, pieces.begun)


def _head(data: bytes) -> object:
    head = read_head(data, 2000, 20)
    if head is not None:
        # What follows a head is not looked at.
        again = read_head(data[: head.length] + b"\xff", 2000, 20)
        assert again is not None and again.length == head.length
    return head


def _config(data: bytes) -> object:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tako.toml").write_bytes(data)
        return load_config({}, {}, folder)


def _live(data: bytes) -> object:
    try:
        name, frame = read_binary(data)
    except Unreadable:
        return read_text(data)
    assert read_binary(write(name, frame)) == (name, frame)
    return frame


def _shared_frame(data: bytes) -> object:
    frame = read_client_frame(data, 1000)
    if isinstance(frame, Bad):
        assert frame.refusal.code and frame.refusal.sentence
    return frame


STREAM_PARSERS = {
    "upgrade": Parser(
        _upgrade,
        (),
        (
            b"Upgrade: websocket\nConnection: keep-alive, Upgrade\nSec-WebSocket-Version: 13\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Protocol: a, tako.v1",
        ),
    ),
    "extensions": Parser(
        _extensions,
        (),
        (b"permessage-deflate; client_max_window_bits=10; server_no_context_takeover, x; y=1",),
    ),
    "websocket": Parser(
        _websocket,
        (),
        (
            client_frame(1, b"hello") + client_frame(9, b"x"),
            client_frame(1, b"\xce", fin=False) + client_frame(0, b"\xba"),
            client_frame(1, b"\xf2H\xcd\xc9\xc9\x07\x00", rsv=4) + client_close(1000),
            client_frame(2, b"x" * 130, length_bytes=8),
        ),
    ),
    "HTTP/2 frames": Parser(
        _intake,
        (),
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
            b"\0\0\2\1\0\0\0\0\1\x82\x84\0\0\1\x09\4\0\0\0\1\x86\0\0\2\0\1\0\0\0\1ab",
        ),
    ),
    "head": Parser(_head, (), (b"GET /a?b=c HTTP/1.1\r\nHost: localhost\r\nCookie: a=b\r\n\r\n",)),
    "credential": Parser(
        lambda data: HeaderCredential.split(data.decode("latin-1")), (), (b"Bearer abc", b"abc")
    ),
    "publish key": Parser(
        lambda data: _KEYS.check(data.decode("latin-1")), seeds=(b"Bearer the-only-key-0123456789",)
    ),
    "live frame": Parser(
        _live,
        (Unreadable,),
        (
            b'{"op":"live","id":"a","do":"message","seq":1,"data":{"a":[1]}}',
            b'{"op":"live","id":"a","do":"credit","at":1,"bytes":2,"messages":3}',
        ),
    ),
    "shared frame": Parser(
        _shared_frame, (), (b'{"op":"publish","channel":"a","params":{},"type":"m","data":1}',)
    ),
    "file path": Parser(lambda data: resolve(data.split(b"/")), (), (b"a/b.html", b"..%2f/a")),
    "endpoint": Parser(
        lambda data: EndpointText.parse(data.decode("latin-1")),
        (ValueError,),
        (b"tcp:8080:interface=127.0.0.1", b"unix:a/b.sock:mode=600"),
    ),
    "UDP address": Parser(
        lambda data: UdpAddress.parse(data.decode("latin-1")),
        (ValueError,),
        (b"udp:8443:interface=192.0.2.1",),
    ),
    "configuration": Parser(
        _config,
        seeds=(
            b'state_dir = "a"\n[limits]\nmax_connections = 5\nconnect_rate = 1.5\n',
            b'[http]\nlisten = ["tcp:8080"]\ntrusted_proxies = ["10.0.0.0/8"]\n',
            b'[channels.a]\npublic = true\n[tls]\nprofile = "modern"\n',
        ),
    ),
}
