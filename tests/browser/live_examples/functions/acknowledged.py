"""Answers: for a whole channel, for one send, and not for one send."""

from collections.abc import Callable
from typing import Any, TypedDict

from takotwist.live import Channel, ClientEnd, function


class Status(TypedDict):
    type: str
    text: str


class Seen(TypedDict):
    seen: bool


ToClient = Callable[[Status | None], Seen]


class Asked(TypedDict):
    channel: ClientEnd[Any, ToClient]


@function
async def on_status() -> Asked:
    """All messages of the server are answered."""
    channel = Channel[Any, ToClient](ack=True)

    async def ask() -> None:
        # Every send gives what the listener returned.
        ack = await channel.send({"type": "status", "text": "OK"})
        # Opt out for one: it gives nothing.
        nothing = await channel.send({"type": "status", "text": repr(ack)}, ack=False)
        channel.send({"type": "status", "text": repr(nothing)}, ack=False)

    channel.on_open(ask)
    return {"channel": channel.client}


@function
async def on_status_once() -> Asked:
    """One message and one of bytes are answered, on a channel that asks for no answers."""
    channel = Channel[Any, ToClient]()

    async def ask() -> None:
        ack = await channel.send({"type": "status", "text": "OK"}, ack=True)
        binary_ack = await channel.send_binary(b"frame", ack=True)
        channel.send({"type": "status", "text": f"{ack} {binary_ack}"})

    channel.on_open(ask)
    return {"channel": channel.client}
