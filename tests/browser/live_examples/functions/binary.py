"""Bytes beside messages, both ways, with answers; and a loop that waits for its receiver."""

from typing import Any, TypedDict

from twisted.internet import reactor
from twisted.internet.task import deferLater

from takotwist.live import Channel, ClientEnd, function


class Opened(TypedDict):
    channel: ClientEnd[Any, Any]


@function
async def on_binary() -> Opened:
    channel = Channel[Any, Any]()

    async def begin() -> None:
        await channel.send_binary(bytes([1, 2, 3]))

    def heard(data: bytes) -> dict[str, Any]:
        unlisten()
        return {"processed": True, "size": len(data)}

    channel.on_open(begin)
    unlisten = channel.listen_binary(heard)
    return {"channel": channel.client}


@function
async def on_frames() -> Opened:
    """A receiver that takes its time, and counts."""
    channel = Channel[Any, Any]()
    taken = 0

    async def take(frame: bytes) -> None:
        nonlocal taken
        await deferLater(reactor, 0.01)
        taken += 1

    channel.listen_binary(take)
    channel.listen(lambda asked: taken)
    return {"channel": channel.client}


@function
async def on_stream(count: int) -> Opened:
    """The server's side of the same loop: it goes on as the page takes it."""
    channel = Channel[Any, Any]()

    async def send() -> None:
        for number in range(count):
            await channel.send_binary(number.to_bytes(4, "big") + bytes(60_000))
        # Nobody has to wait for a send.
        channel.send({"type": "ping"})

    channel.on_open(send)
    return {"channel": channel.client}
