"""A chat room: who may enter, and what becomes of a message that is sent in it."""

from __future__ import annotations

from accounts import user_of
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from takotwist import Context, Grant, VerifyRequest, define_channel


class Room(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    room_id: str = Field(min_length=1)


class Msg(BaseModel):
    author: str = ""
    text: str = Field(max_length=500)


chat = define_channel("chat", params=Room, messages={"msg": Msg})


@chat.verify
async def verify(request: VerifyRequest[Room]) -> Grant | bool:
    user = user_of(request.header.value) if request.header else None
    if user is None or (request.params.room_id == "staff" and user != "alice"):
        return False
    return Grant(subject=user)


@chat.on("msg")
async def stamp(data: Msg, context: Context[Room]) -> Msg:
    return Msg(author=context.subject or "", text=data.text)
