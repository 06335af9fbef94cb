"""How a client or a library of Pusher's reaches the limits, and what it is told."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5, sha256
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.faults.reaching import told
from tests.sockets.server_process import ServerProcess

ID, KEY, SECRET = "7", "key-of-the-tests", "secret-of-the-tests"

APP = f"""
[pusher.apps.main]
id = "{ID}"
key = "{KEY}"
secret = "{SECRET}"
client_events = true
"""


def _signed(text: str) -> str:
    return hmac.new(SECRET.encode(), text.encode(), sha256).hexdigest()


@contextmanager
def _client(server: ServerProcess) -> Iterator[tuple[ClientConnection, str]]:
    """A connection, and its socket id."""
    url = f"ws://127.0.0.1:{server.port}/app/{KEY}?protocol=7"
    with connect(url, max_size=None, open_timeout=60, ping_interval=None) as one:
        yield one, json.loads(_frame(one)["data"])["socket_id"]


def _frame(one: ClientConnection) -> Any:
    return json.loads(one.recv(timeout=60))


def _subscribe(one: ClientConnection, socket_id: str, name: str, member: object = None) -> Any:
    data: dict[str, object] = {"channel": name}
    text = f"{socket_id}:{name}"
    if member is not None:
        data["channel_data"] = json.dumps(member)
        text += f":{data['channel_data']}"
    data["auth"] = f"{KEY}:{_signed(text)}"
    one.send(json.dumps({"event": "pusher:subscribe", "data": data}))
    return _frame(one)


def _error(frame: Any) -> str:
    if frame["event"] == "pusher:error":
        return f"error {frame['data']['code']}"
    return f"error {json.loads(frame['data'])['type']} {json.loads(frame['data'])['status']}"


def _post(server: ServerProcess, path: str, body: object) -> str:
    content = json.dumps(body).encode()
    fields = {
        "auth_key": KEY,
        "auth_timestamp": str(int(time.time())),
        "auth_version": "1.0",
        "body_md5": md5(content, usedforsecurity=False).hexdigest(),
    }
    path = f"/apps/{ID}/{path}"
    query = "&".join(f"{name}={fields[name]}" for name in sorted(fields))
    url = f"http://127.0.0.1:{server.port}{path}?{query}"
    signature = _signed(f"POST\n{path}\n{query}")
    return told(httpx.post(f"{url}&auth_signature={signature}", content=content, timeout=30))


def connections(server: ServerProcess) -> list[str]:
    """The third of an app that has room for two."""
    with _client(server), _client(server):
        url = f"ws://127.0.0.1:{server.port}/app/{KEY}?protocol=7"
        with connect(url, open_timeout=60) as third:
            _frame(third)
            try:
                third.recv(timeout=60)
            except ConnectionClosed as closed:
                assert closed.rcvd is not None
                return [f"close {closed.rcvd.code}"]
    return ["nothing"]


def event(server: ServerProcess) -> list[str]:
    """Triggered by a library, and sent by a client."""
    body = {"name": "hi", "channels": ["news"], "data": "x" * 200}
    said = [_post(server, "events", body)]
    with _client(server) as (one, socket_id):
        _subscribe(one, socket_id, "private-x")
        one.send(json.dumps({"event": "client-x", "channel": "private-x", "data": "x" * 200}))
        return [*said, _error(_frame(one))]


def channels(server: ServerProcess) -> list[str]:
    """Of one event."""
    body = {"name": "hi", "channels": ["a", "b", "c"], "data": "1"}
    return [_post(server, "events", body)]


def batch(server: ServerProcess) -> list[str]:
    """Of events."""
    one = {"name": "hi", "channel": "a", "data": "1"}
    return [_post(server, "batch_events", {"batch": [one] * 3})]


def members(server: ServerProcess) -> list[str]:
    """The second of a channel that has room for one."""
    with _client(server) as (one, first), _client(server) as (two, second):
        _subscribe(one, first, "presence-x", {"user_id": "ann"})
        return [_error(_subscribe(two, second, "presence-x", {"user_id": "bob"}))]


def user_info(server: ServerProcess) -> list[str]:
    """Of a member that shows much of itself."""
    with _client(server) as (one, socket_id):
        member = {"user_id": "ann", "user_info": "x" * 100}
        return [_error(_subscribe(one, socket_id, "presence-x", member))]


def client_events(server: ServerProcess) -> list[str]:
    """Twenty at once of a client that may send two a second."""
    with _client(server) as (one, socket_id):
        _subscribe(one, socket_id, "private-x")
        for _ in range(20):
            one.send(json.dumps({"event": "client-x", "channel": "private-x", "data": {}}))
        return [_error(_frame(one))]


def watchlist(server: ServerProcess) -> list[str]:
    """Of a user who signs in with three."""
    with _client(server) as (one, socket_id):
        shown = json.dumps({"id": "ann", "watchlist": ["bob", "eve", "joe"]})
        data = {"user_data": shown, "auth": f"{KEY}:{_signed(f'{socket_id}::user::{shown}')}"}
        one.send(json.dumps({"event": "pusher:signin", "data": data}))
        assert _frame(one)["event"] == "pusher:signin_success"
        return [_error(_frame(one))]
