"""Rooms with params, messages and defaults, and a channel without any of it."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from takotwist import define_channel


class Room(Struct, rename="camel"):
    room_id: Annotated[str, Meta(min_length=1)]
    page: int = 1


class Said(Struct):
    text: str
    kind: Literal["plain", "code"] = "plain"


class Typing(Struct, rename="camel"):
    user_id: str


chat = define_channel("chat", params=Room, messages={"msg": Said, "typing": Typing})
chat.on("msg")(lambda data, context: data)
chat.on("typing")(lambda data, context: data)

news = define_channel("site-news")
