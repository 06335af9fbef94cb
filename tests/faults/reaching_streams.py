"""How a writer or a reader of streams reaches their limits, and what it is told."""

from __future__ import annotations

import time

import httpx

from tests.faults.reaching import told
from tests.sockets.server_process import KEY, ServerProcess

KEYS_TOML = f'[publish]\nkeys = ["{KEY}"]\n[streams]\npath = "/streams"\n'

_ALLOWED = {"Authorization": f"Bearer {KEY}", "Content-Type": "text/plain"}


def _ask(
    server: ServerProcess, method: str, body: bytes = b"", query: str = "", **more: str
) -> httpx.Response:
    headers = _ALLOWED | {name.replace("_", "-"): text for name, text in more.items()}
    address = f"{server.url}/streams/a{query}"
    return httpx.request(method, address, headers=headers, content=body, timeout=30)


def append(server: ServerProcess) -> list[str]:
    """More than one request may bring."""
    assert _ask(server, "PUT").status_code == 201
    return [told(_ask(server, "POST", b"x" * 1025))]


def stream(server: ServerProcess) -> list[str]:
    """Until it is full."""
    assert _ask(server, "PUT").status_code == 201
    answers = [_ask(server, "POST", b"x" * 1000) for _ in range(5)]
    return [told(one) for one in answers if one.status_code != 204][:1]


def producers(server: ServerProcess) -> list[str]:
    """One more than a stream remembers."""
    assert _ask(server, "PUT").status_code == 201
    answers = [
        _ask(server, "POST", b"x", Producer_Id=name, Producer_Epoch="0", Producer_Seq="0")
        for name in "ab"
    ]
    return [told(one) for one in answers[1:]]


def lifetime(server: ServerProcess) -> list[str]:
    """A stream that is still written to."""
    assert _ask(server, "PUT").status_code == 201
    until = time.monotonic() + 60
    while (answer := _ask(server, "POST", b"x")).status_code == 204 and time.monotonic() < until:
        time.sleep(0.1)
    return [told(answer)]


def long_poll(server: ServerProcess) -> list[str]:
    """Nothing comes."""
    assert _ask(server, "PUT").status_code == 201
    return [str(_ask(server, "GET", query="?offset=now&live=long-poll").status_code)]


def events(server: ServerProcess) -> list[str]:
    """The response ends as a whole one."""
    assert _ask(server, "PUT").status_code == 201
    answer = _ask(server, "GET", query="?offset=now&live=sse")
    return ["ended"] if "streamNextOffset" in answer.text else [told(answer)]
