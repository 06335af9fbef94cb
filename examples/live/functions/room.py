"""Messages with types, each answered: `ack=True` for the whole channel."""

from collections.abc import Callable
from typing import Literal, TypedDict

from msgspec import Struct

from takotwist.live import Channel, ClientEnd, function


class System(Struct, tag="system"):
    text: str


class Chat(Struct, tag="chat"):
    text: str


class Join(Struct, tag="join", rename="camel"):
    room_id: str


class Accepted(Struct):
    accepted: Literal[True]


class Delivered(Struct):
    delivered: Literal[True]


ClientToServer = Callable[[Join | Chat], Accepted]
ServerToClient = Callable[[System | Chat], Delivered]


class Joined(TypedDict):
    channel: ClientEnd[ClientToServer, ServerToClient]


@function
async def on_join_room() -> Joined:
    channel = Channel[ClientToServer, ServerToClient](ack=True)

    def heard(message: Join | Chat) -> Accepted:
        if isinstance(message, Join):
            channel.send(System(f"Joined {message.room_id}"))
        else:
            channel.send(Chat(f"echo: {message.text}"))
        return Accepted(accepted=True)

    channel.listen(heard)
    return {"channel": channel.client}
