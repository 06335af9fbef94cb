"""Requests that come at the same time.

By one thread, which sends all before it reads an answer: clients with a thread each are slow to
come on a busy machine, and then they are no crowd.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Sequence
from contextlib import ExitStack

import httpx

from tests.sockets.server_process import ServerProcess


def request(path: str, token: object, body: bytes | None = None, **headers: str) -> bytes:
    """A request's bytes: a GET, or a POST of this JSON.

    :param token: of the `Authorization`.
    """
    lines = [
        f"{'GET' if body is None else 'POST'} {path} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        f"Authorization: Bearer {token}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def at_once(server: ServerProcess, requests: Sequence[bytes]) -> list[httpx.Response]:
    """The answers; those of 200 without what comes of their bodies, which may have no end."""
    with ExitStack() as stack:
        ones = [socket.create_connection(("127.0.0.1", server.port), timeout=60) for _ in requests]
        for one in ones:
            stack.enter_context(one)
        for one, asked in zip(ones, requests, strict=True):
            one.sendall(asked)
        return [_answer(one) for one in ones]


def _answer(one: socket.socket) -> httpx.Response:
    answer = http.client.HTTPResponse(one)
    answer.begin()
    body = answer.read() if answer.status >= 400 else b""
    # What it was framed by is gone.
    headers = [(name, value) for name, value in answer.getheaders() if name != "Transfer-Encoding"]
    return httpx.Response(answer.status, headers=headers, content=body)
