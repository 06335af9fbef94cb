"""How a client reaches the limits of what it begins and does not end, and of what it does not
read; see `reaching`."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator

import h2.events
import httpx
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from h2.config import H2Configuration
from h2.connection import H2Connection

from tests.codecs.websocket_reader import client_frame
from tests.faults.reaching import CHAT, KEY, MSG, PATIENCE, closing, post, subscribed, websocket
from tests.faults.reaching_http3 import Http3Socket
from tests.sockets.server_process import ServerProcess


def _begun(server: ServerProcess, size: int) -> list[str]:
    """What is told to a publish, a call, a line and a frame of which `size` bytes come."""
    body = b'{"type":"msg","data":"' + b"x" * size
    head = (
        f"POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Length: {size + 1000}\r\nContent-Type: %s\r\n\r\n"
    )
    paths = [
        (CHAT, "application/json"),
        ("/_tako/nothing", "application/json"),
        (CHAT, "application/x-ndjson"),
    ]
    said = []
    for path, kind in paths:
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as one:
            # It may be answered, and let go, before it has come whole.
            with contextlib.suppress(ConnectionError):
                one.sendall((head % (path, kind)).encode() + body)
            answer = http.client.HTTPResponse(one)
            answer.begin()
            told = json.loads(answer.read())
            first = "line" if kind.endswith("ndjson") else str(answer.status)
            said.append(f"{first} {told['code']}")
    assert said[0] == said[1], said
    with websocket(server, CHAT) as one:
        with contextlib.suppress(OSError):
            one.socket.sendall(client_frame(1, body + b"x")[:-1])
        said.append(closing(one))
    _begun_http2(server, body, said[0])
    _begun_http3(server, body, said[0])
    return said[1:]


def _begun_http2(server: ServerProcess, body: bytes, expected: str) -> None:
    """The same as one stream of HTTP/2, whose connection goes on."""
    context = server.trust
    context.set_alpn_protocols(["h2"])
    raw = socket.create_connection(("127.0.0.1", server.tls_port), timeout=PATIENCE)
    with context.wrap_socket(raw, server_hostname="localhost") as one:
        http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        http.initiate_connection()
        head = [(":method", "POST"), (":path", CHAT), (":scheme", "https")]
        head += [(":authority", "localhost"), ("authorization", f"Bearer {KEY}")]
        http.send_headers(1, head)
        said: dict[str, str] = {}
        while "data" not in said:
            while size := min(len(body), http.local_flow_control_window(1), 16384):
                http.send_data(1, body[:size])
                body = body[size:]
            one.sendall(http.data_to_send())
            data = one.recv(65536)
            assert data, "the connection ended"
            for event in http.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    said["status"] = dict(event.headers)[":status"]
                elif isinstance(event, h2.events.DataReceived):
                    said["data"] = json.loads(event.data)["code"]
        answer = f"{said['status']} {said['data']}"
        assert answer == expected, answer


def _begun_http3(server: ServerProcess, body: bytes, expected: str) -> None:
    """What `_begun` says, as one stream of HTTP/3."""
    with contextlib.closing(Http3Socket(server)) as one:
        assert one.connected() == "open"
        http = H3Connection(one.quic)
        head = [(":method", "POST"), (":path", CHAT), (":scheme", "https")]
        head += [(":authority", "localhost"), ("authorization", f"Bearer {KEY}")]
        http.send_headers(0, [(name.encode(), value.encode()) for name, value in head])
        http.send_data(0, body, end_stream=False)
        status = code = ""
        for event in one.events():
            for told in http.handle_event(event):
                if isinstance(told, HeadersReceived):
                    status = dict(told.headers)[b":status"].decode()
                elif isinstance(told, DataReceived) and told.data:
                    code = json.loads(told.data)["code"]
            if code:
                break
        assert f"{status} {code}" == expected, (status, code)


def slow_input(server: ServerProcess) -> list[str]:
    """Three hundred bytes, and no more."""
    return _begun(server, 300)


def much_input(server: ServerProcess) -> list[str]:
    """One that alone is too much."""
    return _begun(server, 1_100_000)


def _stream(server: ServerProcess, pause: float) -> list[str]:
    """The last line of an NDJSON publish with a line every `pause` seconds, over both HTTPs."""

    def lines() -> Iterator[bytes]:
        for _ in range(40):
            yield json.dumps(MSG).encode() + b"\n"
            time.sleep(pause)

    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/x-ndjson"}
    said = []
    for url, http2 in ((server.url, False), (server.tls_url, True)):
        with (
            httpx.Client(timeout=PATIENCE, http2=http2, verify=server.trust) as client,
            client.stream("POST", f"{url}{CHAT}", content=lines(), headers=headers) as answer,
        ):
            assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
            *before, last = [json.loads(line) for line in answer.iter_lines() if line]
            assert before and all("id" in one for one in before)
            said.append(f"line {last['code']}")
    return sorted(set(said))


def quiet_stream(server: ServerProcess) -> list[str]:
    """One line, and nothing behind it for longer than the bound."""
    return _stream(server, 2.5)


def long_stream(server: ServerProcess) -> list[str]:
    """Lines without an end."""
    return _stream(server, 0.1)


def unread(server: ServerProcess) -> list[str]:
    """Three megabytes of history that nobody reads, while somebody else follows the topic."""
    for number in range(50):
        post(server, {"type": "msg", "data": [number, "x" * 60_000]})
    path = "/channels/chat/history?roomId=lobby&limit=1000"
    with socket.socket() as one, subscribed(server, CHAT, {}) as other:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.settimeout(PATIENCE)
        one.connect(("127.0.0.1", server.port))
        one.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        said = [_never_read_http2(server, path)]
        read = 0
        with contextlib.suppress(ConnectionError):
            while data := one.recv(65536):
                read += len(data)
        assert read < 3_000_000, read
        assert other == "200"
        return ["its connection is cut", *said]


def _never_read_http2(server: ServerProcess, path: str) -> str:
    """What becomes of a stream whose window is not opened."""
    context = server.trust
    context.set_alpn_protocols(["h2"])
    raw = socket.create_connection(("127.0.0.1", server.tls_port), timeout=PATIENCE)
    with context.wrap_socket(raw, server_hostname="localhost") as one:
        http = H2Connection(H2Configuration(client_side=True))
        http.initiate_connection()
        head = [(":method", "GET"), (":path", path), (":scheme", "https")]
        http.send_headers(1, [*head, (":authority", "localhost")], end_stream=True)
        one.sendall(http.data_to_send())
        while data := one.recv(65536):
            for event in http.receive_data(data):
                if isinstance(event, h2.events.StreamReset):
                    return "its HTTP/2 stream is reset"
            one.sendall(http.data_to_send())
    return "nothing"
