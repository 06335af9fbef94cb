"""One client of PyPI, used as its own page shows it: prints what it hands out, one a line.

python clients.py CLIENT URL
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import sseclient
from aiohttp_sse_client.client import EventSource
from httpx_sse import connect_sse


def say(event: Any) -> None:
    """Print what was handed out."""
    name = getattr(event, "event", None) or getattr(event, "type", None) or "message"
    said = getattr(event, "id", None) or getattr(event, "last_event_id", None) or ""
    print(json.dumps({"name": name, "data": event.data, "id": said}), flush=True)


def coming_back(read: Callable[[dict[str, str]], Iterator[Any]]) -> None:
    """These two leave coming back to their callers: at once, with the newest id."""
    headers = {"Accept": "text/event-stream"}
    while True:
        try:
            for event in read(headers):
                say(event)
                if event.id:
                    headers["Last-Event-ID"] = event.id
        except httpx.TransportError:
            time.sleep(0.2)


def httpx_sse(url: str) -> None:
    """httpx-sse."""

    def read(headers: dict[str, str]) -> Iterator[Any]:
        with (
            httpx.Client(timeout=None) as client,
            connect_sse(client, "GET", url, headers=headers) as source,
        ):
            yield from source.iter_sse()

    coming_back(read)


def sseclient_py(url: str) -> None:
    """sseclient-py."""

    def read(headers: dict[str, str]) -> Iterator[Any]:
        with (
            httpx.Client(timeout=None) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            yield from sseclient.SSEClient(response.iter_bytes()).events()

    coming_back(read)


def aiohttp_sse_client(url: str) -> None:
    """aiohttp-sse-client."""

    async def read() -> None:
        async with EventSource(url) as source:
            async for event in source:
                say(event)

    asyncio.run(read())


if __name__ == "__main__":
    clients = {
        "httpx-sse": httpx_sse,
        "sseclient-py": sseclient_py,
        "aiohttp-sse-client": aiohttp_sse_client,
    }
    clients[sys.argv[1]](sys.argv[2])
