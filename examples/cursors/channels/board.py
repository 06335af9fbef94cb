"""The one channel: a board on which everybody sees everybody's pointer."""

from typing import Annotated

from msgspec import Meta, Struct

from takotwist import define_channel

Share = Annotated[float, Meta(ge=0, le=1)]


class Board(Struct, rename="camel"):
    board_id: Annotated[str, Meta(min_length=1, max_length=40)]


class Pointer(Struct):
    """Of one tab, as shares of the board's width and height."""

    who: Annotated[str, Meta(max_length=40)]
    name: Annotated[str, Meta(max_length=40)]
    x: Share
    y: Share


# Where a pointer was a while ago is of no use to anybody, so little is kept.
board = define_channel(
    "board",
    params=Board,
    messages={"move": Pointer, "click": Pointer},
    replay_window=10,
    replay_max_messages=1000,
)


@board.on("move")
@board.on("click")
def forward(data: Pointer, context) -> Pointer:
    return data
