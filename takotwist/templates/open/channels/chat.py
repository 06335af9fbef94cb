"""A chat: each room is a topic of its own, and everybody may come in."""

from typing import Annotated

from msgspec import Meta, Struct
from takotwist import Context, define_channel


class Room(Struct, rename="camel"):
    """What makes the topic: `room_id` here is `roomId` on the page."""

    room_id: Annotated[str, Meta(min_length=1, max_length=40)]


class Msg(Struct):
    author: Annotated[str, Meta(min_length=1, max_length=40)]
    text: Annotated[str, Meta(min_length=1, max_length=500)]


chat = define_channel("chat", params=Room, messages={"msg": Msg})


@chat.on("msg")
def said(data: Msg, context: Context[Room]) -> Msg:
    """What a page sends comes here before anybody sees it; what is returned is stored and sent."""
    return data
