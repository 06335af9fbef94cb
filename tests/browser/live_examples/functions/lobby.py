"""The bus of broadcasts by itself: nobody's page, only a key."""

from typing import TypedDict

from takotwist.live import Broadcast, BroadcastChannel, Receipt, function


class Text(TypedDict):
    text: str


class Published(TypedDict):
    key: str
    seq: int
    timestamp: int


#: What the server's own subscriber has heard.
heard: list[tuple[Text, int]] = []


def hear(message: Text, info: Receipt) -> None:
    heard.append((message, info.seq))


@function
async def on_announce(text: str) -> Published:
    """Publish to every subscriber of the key, on the server and in pages."""
    if not heard:
        Broadcast.subscribe("room:lobby", hear)
    receipt = await Broadcast.publish("room:lobby", {"text": text})
    return {"key": receipt.key, "seq": receipt.seq, "timestamp": receipt.timestamp}


@function
async def on_heard() -> list[tuple[Text, int]]:
    return heard


@function
async def on_lobby() -> BroadcastChannel[Text]:
    return BroadcastChannel[Text](key="room:lobby")
