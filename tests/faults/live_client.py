"""A page with live objects that does what no page does: frames by hand over a WebSocket.

Rule: it answers no ping, reports nothing and consumes nothing unless it is told to.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.sockets.server_process import ServerProcess

#: Functions for every test of live objects here.
FUNCTIONS = """
import time
from twisted.internet.defer import Deferred, ensureDeferred
from takotwist import Grant
from takotwist.live import Broadcast, BroadcastChannel, Channel, ClientEnd, function
from takotwist.live import ChannelOverflowError

@function
def on_echo(text: str) -> str:
    return text

def member(request):
    return Grant(subject="m1")

@function(verify=member)
def on_known(text: str) -> str:
    return text

@function
def on_sleep(seconds: float) -> None:
    time.sleep(seconds)

@function
def on_channel() -> ClientEnd:
    channel = Channel()
    channel.listen(lambda data: data)
    return channel.client

@function
def on_channels(count: int) -> list[ClientEnd]:
    return [Channel().client for _ in range(count)]

@function
def on_never() -> ClientEnd:
    channel = Channel()
    async def listen(data):
        await Deferred()
    channel.listen(listen)
    channel.listen_binary(listen)
    return channel.client

lost = []

async def sent(outcome):
    try:
        await outcome
    except ChannelOverflowError as error:
        lost.append(error)

@function
def on_talk(count: int, size: int, binary: bool, overflow: str = "end") -> ClientEnd:
    channel = Channel(overflow=overflow)
    def begin():
        for number in range(count):
            if binary:
                channel.send_binary(b"x" * size)
            else:
                ensureDeferred(sent(channel.send([number, "x" * size])))
    channel.on_open(begin)
    return channel.client

@function
def on_lost() -> int:
    return len(lost)

@function
def on_group() -> BroadcastChannel:
    return BroadcastChannel(key="group")

@function
def on_publish(count: int, size: int, binary: bool) -> None:
    for _ in range(count):
        if binary:
            Broadcast.publish_binary("group", b"x" * size)
        else:
            Broadcast.publish("group", "x" * size)
"""


class LivePage:
    """One page: a secret, calls, and at most one wire.

    :ivar secret: of its session.
    """

    def __init__(self, server: ServerProcess, secret: str | None = None) -> None:
        self.server = server
        self.secret = secret or secrets.token_urlsafe(16)
        self.wire: ClientConnection | None = None
        self._seq: dict[str, int] = {}

    def call(
        self, name: str, *args: Any, client: httpx.Client | None = None, **headers: str
    ) -> httpx.Response:
        """Call a function.

        :param client: over its connection, which stays open.
        """
        url = f"{self.server.url}/_tako/functions/{name}"
        session = {"Tako-Session": self.secret, **headers}
        post = httpx.post if client is None else client.post
        return post(url, json={"args": args}, headers=session, timeout=30)

    def get(self, name: str, *args: Any, client: httpx.Client | None = None) -> str:
        """Call a function that returns one object; its id."""
        answer = self.call(name, *args, client=client)
        assert answer.status_code == 200, answer.text
        [live] = answer.json()["live"]
        return str(live["id"])

    def connect(self) -> None:
        """Open a wire."""
        self.wire = connect(
            f"ws://127.0.0.1:{self.server.port}/_tako/connect",
            subprotocols=[Subprotocol("tako.v1")],
            max_size=None,
            max_queue=None,
            ping_interval=None,
            compression=None,
            open_timeout=60,
            close_timeout=20,
        )

    def attach(self, *ids: str, credit: int = 1 << 30) -> Any:
        """Open a wire, and these objects on it; the answer.

        :param credit: bytes and messages that the server may send.
        """
        self.connect()
        listed = [{"id": one, "seq": 0, "bytes": credit, "messages": credit} for one in ids]
        self.say({"op": "live.attach", "ref": 1, "session": self.secret, "open": listed})
        return self.until("live.attached", "live.refused")

    def cut(self) -> None:
        """Lose the wire, as a page does that means to come back."""
        assert self.wire is not None
        self.wire.close(4000)

    def leave(self) -> None:
        """Go for good."""
        assert self.wire is not None
        self.wire.close()

    def say(self, frame: Any) -> None:
        """Send a text frame."""
        assert self.wire is not None
        self.wire.send(json.dumps(frame, separators=(",", ":")))

    def frame(self, name: str, do: str, data: Any = None, **more: Any) -> str:
        """The next sequenced frame of an object."""
        seq = self._seq[name] = self._seq.get(name, 0) + 1
        said = {"op": "live", "id": name, "do": do, "seq": seq, **more}
        if do not in ("subscribe", "unsubscribe"):
            said["data"] = data
        return json.dumps(said, separators=(",", ":"))

    def send(self, name: str, do: str, data: Any = None, **more: Any) -> None:
        """Send it."""
        assert self.wire is not None
        self.wire.send(self.frame(name, do, data, **more))

    def until(self, *ops: str, do: str | None = None) -> Any:
        """The next text frame of these ops."""
        assert self.wire is not None
        while True:
            text = self.wire.recv(60)
            if isinstance(text, bytes):
                continue
            said = json.loads(text)
            if said.get("op") in ops and (do is None or said.get("do") == do):
                return said

    def until_binary(self) -> bytes:
        """The next binary frame."""
        assert self.wire is not None
        while not isinstance(payload := self.wire.recv(60), bytes):
            pass
        return payload

    def end(self) -> str:
        """How the wire ends."""
        assert self.wire is not None
        try:
            while True:
                self.wire.recv(60)
        except ConnectionClosed as closed:
            if closed.rcvd is None:
                return "cut"
            return f"close {closed.rcvd.code} {closed.rcvd.reason}".strip()
