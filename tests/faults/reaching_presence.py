"""How a member reaches the limits of presence, and what it is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import httpx
from websockets.sync.client import ClientConnection

from tests.faults.reaching import op, told, websocket
from tests.sockets.server_process import ServerProcess, wait_until

#: A channel whose app says as much of a member as the member's name is long.
WHO_CHANNEL = """
from takotwist import Grant, Presence, define_channel

who = define_channel("who", forward_unhandled=True, presence=Presence(max_members=1))

@who.verify(header="authorization")
def verify(request):
    return Grant(subject=request.header.value[:8], info=request.header.value)
"""

WHO = "/channels/who"


def _get(server: ServerProcess, name: str, path: str = WHO) -> httpx.Response:
    address = f"http://127.0.0.1:{server.port}{path}"
    return httpx.get(address, headers={"Authorization": name}, timeout=30)


def info(server: ServerProcess) -> list[str]:
    """The app says more of somebody than is taken: nobody is let in by half."""
    return [told(_get(server, "n" * 100))]


def state(server: ServerProcess) -> list[str]:
    """In a frame."""
    with websocket(server, "/_tako/connect") as one:
        topic = {"channel": "who", "params": {}}
        one.send(json.dumps({"op": "subscribe", "ref": 1, "auth": "ada", **topic}))
        op(one, "ack")
        one.send(json.dumps({"op": "presence", "ref": 2, **topic, "state": "s" * 200}))
        return [f"error {op(one)['code']}"]


def members(server: ServerProcess) -> list[str]:
    """The second of a topic that has place for one is let in, and counted."""

    def counted() -> bool:
        return bool(_get(server, "cy", f"{WHO}/presence").json()["guests"])

    with websocket(server, "/_tako/connect") as one, websocket(server, "/_tako/connect") as two:
        for each, name in ((one, "ada"), (two, "bob")):
            each.send(json.dumps({"op": "subscribe", "ref": 1, "channel": "who", "auth": name}))
            op(each, "ack")
        wait_until(counted, "nobody was counted")
        listed = _get(server, "cy", f"{WHO}/presence").json()
        names = ", ".join(member["subject"] for member in listed["members"])
        return [f"listed {names}", f"counted {listed['guests']}"]


def _follow(*ones: tuple[ClientConnection, str]) -> None:
    """All are at the topic at once, and are told who is."""
    for one, name in ones:
        about = {"op": "subscribe", "channel": "who", "auth": name}
        one.send(json.dumps({**about, "ref": 1}))
        one.send(json.dumps({**about, "ref": 2, "presence": True}))
    for one, _ in ones:
        op(one, "ack")
        op(one, "synced")


def _until(one: ClientConnection, kind: str, last: Callable[[dict[str, Any]], bool]) -> int:
    """How many messages of a kind there were, with the one that is waited for."""
    number = 0
    while True:
        frame = json.loads(one.recv(timeout=60))
        if frame.get("type") == kind:
            number += 1
            if last(frame["data"]):
                return number


def states(server: ServerProcess) -> list[str]:
    """Twenty in a burst are told together, with the last of them."""
    with websocket(server, "/_tako/connect") as one:
        _follow((one, "ada"))
        for number in range(20):
            about = {"op": "presence", "channel": "who", "params": {}}
            one.send(json.dumps({**about, "state": {"x": number}}))
        told = _until(one, "tako.update", lambda data: data.get("state") == {"x": 19})
        return ["told together" if told < 20 else f"told {told} times"]


def guests(server: ServerProcess) -> list[str]:
    """Ten who come are told as a number, and not one by one."""
    with ExitStack() as stack:
        first = stack.enter_context(websocket(server, "/_tako/connect"))
        _follow((first, "ada"))
        ten = [stack.enter_context(websocket(server, "/_tako/connect")) for _ in range(10)]
        _follow(*((one, f"n{number}") for number, one in enumerate(ten)))
        told = _until(first, "tako.count", lambda data: data["count"] == 10)
        return ["told together" if told < 10 else f"told {told} times"]
