"""An app as its author's type checker sees it; checked by mypy, run by `test_public_names`.

Rule: nothing here may need a cast or an ignore.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, assert_type

from msgspec import Struct

from takotwist import (
    BoundChannel,
    Channel,
    Context,
    Grant,
    HeaderCredential,
    Published,
    Publisher,
    Reject,
    VerifyRequest,
    define_channel,
)


class Room(Struct, rename="camel"):
    room_id: str


class Msg(Struct):
    text: str


chat = define_channel("chat", params=Room, messages={"msg": Msg}, replay_window=timedelta(hours=1))
news = define_channel("news", replay_window=600)
assert_type(chat, Channel[Room])
assert_type(news, Channel[Mapping[str, Any]])


@chat.verify(header="authorization")
async def verify(request: VerifyRequest[Room]) -> Grant | bool:
    assert_type(request.params, Room)
    assert_type(request.header, HeaderCredential | None)
    return Grant(subject="u1") if request.header else False


@news.verify
def anyone(request: VerifyRequest[Mapping[str, Any]]) -> bool:
    return request.operation != "publish"


@chat.on("msg")
def save(data: Msg, context: Context[Room]) -> Msg | None:
    assert_type(context.params.room_id, str)
    if context.subject is None:
        raise Reject("Log in first.")
    return data if data.text else None


# Decorated functions stay what they were, so an app can call and test them.
assert_type(
    save(Msg(""), Context(channel="chat", type="msg", params=Room("a"), subject="u1")), Msg | None
)


async def publish() -> Published:
    bound = chat(room_id="lobby")
    assert_type(bound, BoundChannel)
    assert_type(bound.publish_sync("msg", Msg("hi")), Published)
    return await chat(Room("lobby")).publish("msg", Msg("hi"), idempotency_key="k")


def publish_elsewhere(publisher: Publisher) -> list[Published]:
    return publisher.publish_many("chat", {"roomId": "lobby"}, [("msg", {"text": "hi"})])
