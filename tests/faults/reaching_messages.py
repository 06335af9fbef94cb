"""How a writer or a page reaches the limits of streamed messages, and what it is told."""

from __future__ import annotations

import time

import httpx

from tests.faults.reaching import told
from tests.sockets.server_process import KEY, ServerProcess

KEYS_TOML = f'[publish]\nkeys = ["{KEY}"]\n[streams]\n'

_ALLOWED = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}


def _open(server: ServerProcess, name: str = "a") -> httpx.Response:
    headers = _ALLOWED | {"Idempotency-Key": name}
    address = f"{server.url}/channels/news/streams/{name}"
    return httpx.put(address, headers=headers, json={"type": "answer"}, timeout=30)


def _append(server: ServerProcess, seq: int, *values: str, **more: str) -> httpx.Response:
    said = {"Producer-Id": "writer", "Producer-Epoch": "0", "Producer-Seq": str(seq)}
    headers = _ALLOWED | said | {name.replace("_", "-"): text for name, text in more.items()}
    address = f"{server.url}/channels/news/streams/a"
    return httpx.post(address, headers=headers, json=list(values), timeout=30)


def _failed(server: ServerProcess, seconds: float = 60, *, renews: bool = False) -> list[str]:
    """Why it has ended, once it has."""
    until = time.monotonic() + seconds
    address = f"{server.url}/channels/news/streams/a"
    while time.monotonic() < until:
        answer = httpx.head(address, timeout=30)
        if "stream-end" in answer.headers:
            return [f"ended as {answer.headers['stream-end-reason']}"]
        if renews:
            _append(server, 0, "x", Stream_Renew="true")
        time.sleep(0.1)
    return ["not ended"]


def size(server: ServerProcess) -> list[str]:
    """More than a message may have."""
    assert _open(server).status_code == 201
    return [told(_append(server, 0, "x" * 1100))]


def open_ones(server: ServerProcess) -> list[str]:
    """One more than may be open in a topic."""
    assert _open(server).status_code == 201
    return [told(_open(server, "b"))]


def lease(server: ServerProcess) -> list[str]:
    """Its writer says nothing."""
    assert _open(server).status_code == 201
    return _failed(server)


def open_time(server: ServerProcess) -> list[str]:
    """Its writer never ends it."""
    assert _open(server).status_code == 201
    return _failed(server, renews=True)


def kept(server: ServerProcess) -> list[str]:
    """A page reads it after its end."""
    assert _open(server).status_code == 201
    assert _append(server, 0, "x", Stream_Closed="true").status_code == 200
    until = time.monotonic() + 60
    address = f"{server.url}/channels/news/streams/a"
    while (
        answer := httpx.get(address, timeout=30)
    ).status_code == 200 and time.monotonic() < until:
        time.sleep(0.1)
    return [told(answer)]
