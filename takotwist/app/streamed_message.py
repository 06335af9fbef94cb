"""The payload of a streamed message, for channels that declare their messages."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from takotwist.core.json_values import Json


class StreamInfo(Struct, frozen=True, omit_defaults=True):
    """Description of a streamed message in its topic (protocol, streamed messages).

    :ivar id: the same in the opening and the final message.
    :ivar opened: id of the opening message; in the final one.
    :ivar reason: of ``failed``: ``failed``, ``writer-gone`` or ``too-long``.
    :ivar error: a sentence of the writer's, of ``failed``.
    """

    id: str
    state: Literal["open", "ended", "failed", "cancelled"]
    opened: str = ""
    reason: str = ""
    error: str = ""


class StreamedMessage(Struct, frozen=True, omit_defaults=True):
    """The opening and the final message of what is written with `BoundChannel.stream`::

        chat = define_channel("chat", messages={"msg": Msg, "answer": StreamedMessage})

    :ivar text: all of it, in the final message of one of text.
    :ivar items: the same, of one of values.
    :ivar meta: as its writer gave it.
    """

    stream: StreamInfo
    text: str = ""
    items: list[Json] = []
    meta: Json = None
