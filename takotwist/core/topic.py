"""Topics, cursors and messages: the values that everything else is about.

A topic is one channel with one binding of its params, the unit of replay, fan-out and
limits.  A cursor is the id of the last message that a client has seen: opaque to
clients, to us a whole number that JavaScript can hold exactly.

Rules: two bindings that validate to the same values are the same topic, whatever
their order or spelling, so a topic is made of validated params only.  Text becomes a
cursor here and nowhere else.  A message's `data` is JSON bytes that were validated
once, at the edge; from there on nobody parses or prints them again: the log stores
them and the codecs copy them into frames.
"""

from __future__ import annotations

from urllib.parse import quote_plus

import attrs
import msgspec

from takotwist.core.json_values import JsonObject
from takotwist.errors import CursorInvalid


def spelled(value: object) -> str:
    """The value of a param as it stands in the name of a topic."""
    if value is True:
        return "true"
    if value is False:
        return "false"
    if value is None:
        return "null"
    if isinstance(value, float) and value.is_integer():
        # 10 and 10.0 are one number in JSON Schema, so they are one topic.
        return str(int(value))
    return str(value)


@attrs.frozen(slots=True, eq=False)
class Topic:
    """One channel with one binding of its params.

    :ivar channel: the channel's name.
    :ivar params: the validated params that partition the channel.
    :ivar key: the printed form, ``chat?roomId=lobby``; equal keys are equal topics.
    """

    channel: str
    params: JsonObject
    key: str

    @classmethod
    def of(cls, channel: str, params: JsonObject) -> Topic:
        """The topic of validated `params` (protocol, section 1)."""
        pairs = [
            f"{quote_plus(name)}={quote_plus(spelled(value))}"
            for name in sorted(params)
            for value in (
                params[name] if isinstance(params[name], list | tuple) else [params[name]]
            )
        ]
        name = quote_plus(channel)
        return cls(channel, dict(params), f"{name}?{'&'.join(pairs)}" if pairs else name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Topic) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        return self.key


#: Begins the names of the server's own channels, which no channel of an app can have.
INTERNAL = "~"

#: The largest id there can be: what a double holds exactly (RFC 8259, section 6).
MAX_ID = 2**53 - 1

#: Not a cursor: it asks for everything still in the window and is never too old.
EVERYTHING = 0

#: Not a cursor: it asks for the latest state, which is the newest message of each key of a topic
#: that has keys, else the newest message.  It is never too old.
NEWEST = -1

#: No id: stands for a cursor that no log could have given out, where that is no error.
FOREIGN = MAX_ID + 1


def parse_cursor(text: str | int, field: str = "cursor", *, foreign: bool = False) -> int:
    """Read a cursor that a client sent.

    :param text: decimal digits, or a number from JSON.
    :param field: how the client called it, for the error.
    :param foreign: give `FOREIGN` in place of raising; the log then says the same of it.
    :raises CursorInvalid: when it is no id that a log could have given out.
    """
    try:
        return _parsed(text, field)
    except CursorInvalid:
        if foreign:
            return FOREIGN
        raise


def parse_beginning(text: str | int, field: str = "cursor", *, foreign: bool = False) -> int:
    """Read where a client wants to begin: a cursor, or ``newest``."""
    return NEWEST if text == "newest" else parse_cursor(text, field, foreign=foreign)


def beginning_text(cursor: int) -> str:
    """A cursor, or `NEWEST`, as clients are told it and give it back."""
    return "newest" if cursor == NEWEST else str(cursor)


def _parsed(text: str | int, field: str) -> int:
    if isinstance(text, bool):
        raise CursorInvalid(f"{field} must be a decimal id, not a boolean.")
    if isinstance(text, str):
        if not (text.isascii() and text.isdigit() and len(text) <= 16):
            raise CursorInvalid(f"{field} must be a decimal id that this server gave out.")
        text = int(text)
    if not 0 <= text <= MAX_ID:
        raise CursorInvalid(f"{field} must lie between 0 and {MAX_ID}.")
    return text


#: Longest `type`, in characters (protocol, section 2).
MAX_TYPE_LENGTH = 128

#: What a message counts for beside its data and its type, in bytes.
MESSAGE_BYTES = 64

#: Types that only the server may use.
RESERVED_TYPE_PREFIX = "tako."


# Two of these are made for each message: a msgspec Struct costs a fifth of a frozen
# attrs class.  They hold no cycles, so the garbage collector need not look at them.


class Draft(msgspec.Struct, frozen=True, gc=False):
    """A message before it is stored.

    :ivar type: 1 to 128 characters, not beginning with ``tako.``.
    :ivar data: one JSON value, encoded, UTF-8.
    :ivar key: in a channel that keeps the newest of each key, what it replaces the earlier
        one of, where its publisher says that.
    :ivar delete: there, it ends its key: it is delivered, and not kept.
    """

    type: str
    data: bytes
    key: str | None = None
    delete: bool = False

    @property
    def size(self) -> int:
        """As `Message.size`, once it is stored."""
        return len(self.data) + len(self.type) + MESSAGE_BYTES


class Message(msgspec.Struct, frozen=True, gc=False):
    """One stored publication on a topic.

    :ivar id: strictly increasing within the topic, unique in the store.
    :ivar type: as published.
    :ivar data: one JSON value, encoded, UTF-8.
    :ivar place: in a numbered topic its epoch and its number, from 1 and without a gap;
        an epoch is greater than those before it, and begins where the count begins anew.
    """

    topic: Topic
    id: int
    type: str
    data: bytes
    place: tuple[int, int] | None = None

    @property
    def size(self) -> int:
        """Bytes that this message counts for in a window, a tail or a send queue."""
        return len(self.data) + len(self.type) + MESSAGE_BYTES
