"""Messages with types, each answered: `ack=True` for the whole channel."""

from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

from takotwist.live import Channel, function


class System(Struct, tag="system"):
    text: str


class Chat(Struct, tag="chat"):
    text: str


class Join(Struct, tag="join", rename="camel"):
    room_id: str


class Accepted(Struct):
    accepted: Literal[True] = True


class Delivered(Struct):
    delivered: Literal[True] = True


ClientToServer = Callable[[Join | Chat], Accepted]
ServerToClient = Callable[[System | Chat], Delivered]


@function
async def on_join_room() -> Any:
    channel = Channel[ClientToServer, ServerToClient](ack=True)

    def heard(message: Join | Chat) -> Accepted:
        if isinstance(message, Join):
            channel.send(System(f"Joined {message.room_id}"))
        else:
            channel.send(Chat(f"echo: {message.text}"))
        return Accepted()

    channel.listen(heard)
    return {"channel": channel.client}
