"""A crowd of members on a real server, which are cut, reload, open and close tabs, and go.

Each knows what it has been told; the test knows the truth.  Rule: a member's list comes from
the bytes of its own connection alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from takotwist.core.roster_view import View
from tests.sockets.server_process import ServerProcess

#: A token is a name, and the grace is short enough for a test.
CROWD_CHANNEL = """
from takotwist import Grant, Presence, define_channel

crowd = define_channel("crowd", presence=Presence(grace=3, max_members=5000))

@crowd.verify(header="authorization")
def verify(request):
    return Grant(subject=request.header.value, info={"name": request.header.value})

hall = define_channel("hall", presence="count")
"""

#: Seconds before a member that was cut is back: within the grace.
BACK = (0.0, 1.5)


class Tab:
    """One connection of a member, again and again until it is closed.

    :param servers: each connection goes to any of them, as by a load balancer that knows nothing.
    :ivar here: whether it has been told by its connection who is here.
    """

    def __init__(
        self, servers: Sequence[ServerProcess], name: str, random: Random, channel: str = "crowd"
    ) -> None:
        self.servers, self.name, self.random, self.channel = servers, name, random, channel
        self.view, self.cursor = View(), None
        self.wrong: list[str] = []
        self.balance: dict[str, int] = {}
        self.bytes = self.resets = 0
        self.here = False
        self._socket: ClientConnection | None = None
        self._closed = False
        self._task = asyncio.create_task(self._live())

    async def _live(self) -> None:
        while not self._closed:
            with contextlib.suppress(TimeoutError, OSError, WebSocketException):
                await self._connected()
            self.here = False
            if not self._closed:
                await asyncio.sleep(self.random.uniform(*BACK))

    async def _connected(self) -> None:
        url = f"ws://127.0.0.1:{self.random.choice(self.servers).port}/_tako/connect"
        headers = {"Authorization": self.name}
        async with connect(
            url,
            subprotocols=[Subprotocol("tako.v1")],
            additional_headers=headers,
            open_timeout=30,
            max_queue=None,
            compression=None,
        ) as self._socket:
            about = {"op": "subscribe", "channel": self.channel}
            await self._socket.send(json.dumps({**about, "ref": 1}))
            roster = {**about, "ref": 2, "presence": True, "stale": "reset"}
            await self._socket.send(json.dumps({**roster, "cursor": self.cursor}))
            async for text in self._socket:
                self.bytes += len(text)
                self._take(json.loads(text))

    def _take(self, frame: dict[str, Any]) -> None:
        if frame.get("op") == "synced" and frame["ref"] == 2:
            self.here = True
        if frame.get("op") == "reset":
            self.view, self.cursor, self.balance = View(), None, {}
            self.resets += 1
        if frame.get("op") == "error":
            if frame["code"] != "store-unavailable":
                self.wrong.append(str(frame))
            # It comes again, as it is told to.
            self.cut()
        if "op" in frame or not frame["type"].startswith("tako."):
            return
        if self.cursor is not None and int(frame["id"]) <= int(self.cursor):
            self.wrong.append(f"{frame['id']} after {self.cursor}")
        event = self.view.apply(int(frame["id"]), frame["type"], msgspec.json.encode(frame["data"]))
        self.cursor = frame["id"]
        if event is not None and event[0] != "update":
            kind, subject = event
            self.balance[subject] = self.balance.get(subject, 0) + (1 if kind == "join" else -1)
            if self.balance[subject] not in (0, 1):
                self.wrong.append(f"{kind} of {subject} without its pair")

    def cut(self) -> None:
        """The network is gone from one moment to the next."""
        self.here = False
        if self._socket is not None:
            self._socket.transport.abort()

    async def close(self) -> None:
        """The page is closed."""
        self._closed = True
        if self._socket is not None:
            self._socket.transport.abort()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def members(self) -> set[str]:
        """Who is here, as far as it knows."""
        return set(self.view.members)


async def until(true: Any, seconds: float) -> bool:
    """Wait for it.  Whether it became so."""
    end = asyncio.get_running_loop().time() + seconds
    while not true():
        if asyncio.get_running_loop().time() > end:
            return False
        await asyncio.sleep(0.1)
    return True
