"""An app as its author's type checker sees it: what is right passes, what is wrong does not.

Checked by mypy and pyright in strict mode in `tests.test_typing`, and run by
`test_public_names`.  Rule: what is right needs no cast and no ignore; each wrong line has an
ignore for each checker, and one that nobody needs is an error itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypedDict, assert_type

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
    limit: int = 10


class Msg(Struct):
    text: str


class Left(Struct):
    by: str


@dataclass
class Place:
    city: str


class Spot(TypedDict):
    x: int


chat = define_channel("chat", params=Room, messages={"msg": Msg}, replay_window=timedelta(hours=1))
news = define_channel("news", replay_window=600)
town = define_channel("town", params=Place, messages={"msg": Msg}).message("left", Left)
spots = define_channel("spots", params=Spot, messages={"at": Spot})
raw = define_channel("raw", params={"type": "object"}, messages={"any": {"type": "string"}})

#: What is not said is anything.
annotated: Channel[Room] = chat


@chat.verify(header="authorization")
async def verify(request: VerifyRequest[Room]) -> Grant | bool:
    assert_type(request.params, Room)
    assert_type(request.header, HeaderCredential | None)
    return Grant(subject="u1") if request.header else False


@news.verify
def anyone(request: VerifyRequest[Mapping[str, Any]]) -> bool:
    return request.operation != "publish"


@town.verify(cookie="sid")
def by_mapping(request: VerifyRequest[Place]) -> Mapping[str, Any] | None:
    return {"subject": request.params.city} if request.cookie else None


@chat.on("msg")
def save(data: Msg, context: Context[Room]) -> Msg | None:
    assert_type(context.params.room_id, str)
    if context.subject is None:
        raise Reject("Log in first.")
    return data if data.text else None


@town.on(Left)
async def left(data: Left, context: Context[Place]) -> Left:
    assert_type(context.params.city, str)
    return data


# Decorated functions stay what they were, so an app can call and test them.
assert_type(
    save(Msg(""), Context(channel="chat", type="msg", params=Room("a"), subject="u1")), Msg | None
)


async def publish() -> Published:
    bound = chat(room_id="lobby")
    assert_type(bound, BoundChannel[Msg])
    assert_type(chat(Room("lobby")), BoundChannel[Msg])
    assert_type(bound.publish_sync(Msg("hi")), Published)
    assert_type(bound.publish_sync("msg", Msg("hi")), Published)
    assert_type(await bound.publish_many([Msg("a"), ("msg", Msg("b"))]), list[Published])
    assert_type(town(city="Rome"), BoundChannel[Msg | Left])
    await town(city="Rome").publish(Left(by="ada"), idempotency_key="k")
    await spots({"x": 1}).publish("at", {"x": 1})
    await news().publish("anything", {"at": "all"})
    await raw(where="ever").publish("any", "text")
    await annotated(room_id="lobby", limit=5).publish("msg", {"text": "unchecked"})
    return await chat(Room("lobby")).publish("msg", Msg("hi"), idempotency_key="k")


def publish_elsewhere(publisher: Publisher) -> list[Published]:
    return publisher.publish_many("chat", {"roomId": "lobby"}, [("msg", {"text": "hi"})])


async def wrong_params() -> None:
    chat(room="lobby")  # type: ignore[call-overload]  # pyright: ignore
    chat(room_id=5)  # type: ignore[call-overload]  # pyright: ignore
    chat()  # type: ignore[call-overload]  # pyright: ignore
    chat(room_id="lobby", limit="ten")  # type: ignore[call-overload]  # pyright: ignore
    chat(Place("Rome"))  # type: ignore[call-overload]  # pyright: ignore
    town(town="Rome")  # type: ignore[call-overload]  # pyright: ignore
    # Pyright takes a TypedDict for no callable, so it knows no arguments of it.
    spots({"y": 1})  # type: ignore[call-overload]


async def wrong_payloads() -> None:
    await chat(room_id="a").publish(Left("ada"))  # type: ignore[call-overload]  # pyright: ignore
    await chat(room_id="a").publish("msg", Left(""))  # type: ignore[call-overload]  # pyright: ignore
    await chat(room_id="a").publish("msg", {"text": 1})  # type: ignore[call-overload]  # pyright: ignore
    await chat(room_id="a").publish(Msg(text=1))  # type: ignore[arg-type]  # pyright: ignore
    await chat(room_id="a").publish(Msg(txt="hi"))  # type: ignore[call-arg]  # pyright: ignore
    chat(room_id="a").publish_sync(Room("a"))  # type: ignore[call-overload]  # pyright: ignore
    chat(room_id="a").publish_many_sync([Left("a")])  # type: ignore[list-item]  # pyright: ignore
    await town(city="Rome").publish(Place("Rome"))  # type: ignore[call-overload]  # pyright: ignore


def wrong_functions() -> None:
    @chat.verify  # type: ignore[arg-type]  # pyright: ignore
    def of_another_channel(request: VerifyRequest[Place]) -> bool:
        return request.cookie is None

    @chat.verify  # type: ignore[type-var]  # pyright: ignore
    def says_a_word(request: VerifyRequest[Room]) -> str:
        return request.params.room_id

    @town.on(Msg)  # type: ignore[arg-type]  # pyright: ignore
    def of_another_type(data: Left, context: Context[Place]) -> Left:
        return data

    @town.on(Msg)  # type: ignore[arg-type]  # pyright: ignore
    def of_other_params(data: Msg, context: Context[Room]) -> Msg:
        return data
