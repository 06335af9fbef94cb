"""A message before and after it is stored.

Rule: `data` is JSON bytes that were validated once, at the edge.  From there
on nobody parses or prints them again: the log stores them and the codecs copy
them into frames.
"""

from __future__ import annotations

import msgspec

from takotwist.core.topic import Topic

#: Longest `type`, in characters (protocol, section 2).
MAX_TYPE_LENGTH = 128

#: What a message counts for beside its data and its type, in bytes.
MESSAGE_BYTES = 64

#: Types that only the server may use.
RESERVED_TYPE_PREFIX = "tako."


# Two of these are made for each message: a msgspec Struct costs a fifth of a frozen
# attrs class.  They hold no cycles, so the garbage collector need not look at them.


class Draft(msgspec.Struct, frozen=True, gc=False):
    """What somebody wants to publish.

    :ivar type: 1 to 128 characters, not beginning with ``tako.``.
    :ivar data: one JSON value, encoded, UTF-8.
    """

    type: str
    data: bytes


class Message(msgspec.Struct, frozen=True, gc=False):
    """One stored publication on a topic.

    :ivar id: strictly increasing within the topic, unique in the store.
    :ivar type: as published.
    :ivar data: one JSON value, encoded, UTF-8.
    """

    topic: Topic
    id: int
    type: str
    data: bytes

    @property
    def size(self) -> int:
        """Bytes that this message counts for in a window, a tail or an outbox."""
        return len(self.data) + len(self.type) + MESSAGE_BYTES
