"""The one channel: a board on which everybody sees everybody's pointer."""

from typing import Annotated
from zlib import crc32

from msgspec import Meta, Struct

from takotwist import Grant, Presence, define_channel

Share = Annotated[float, Meta(ge=0, le=1)]


class Board(Struct, rename="camel"):
    board_id: Annotated[str, Meta(min_length=1, max_length=40)]


class Place(Struct):
    """Of a pointer, as shares of the board's width and height."""

    x: Share
    y: Share


class Visitor(Struct):
    name: str


class Click(Place):
    who: str = ""


# A pointer is the state of a member: of each the last place is kept, and no other.
board = define_channel(
    "board",
    params=Board,
    messages={"click": Click},
    presence=Presence(info=Visitor, state=Place),
    replay_window=10,
)

NAMES = [
    "Avocet", "Badger", "Crane", "Dunlin", "Egret", "Fox", "Gecko", "Heron", "Ibex", "Jay",
    "Kite", "Lynx", "Marten", "Newt", "Otter", "Puffin", "Quail", "Ray", "Stoat", "Tern", "Vole",
]  # fmt: skip


@board.verify
def verify(request) -> Grant:
    """Anybody may come; a tab makes up who it is, and gets a name for it."""
    who = request.header.value[:40]
    return Grant(subject=who, info=Visitor(NAMES[crc32(who.encode()) % len(NAMES)]))


@board.on(Click)
def clicked(data: Click, context) -> Click:
    return Click(data.x, data.y, context.subject)
