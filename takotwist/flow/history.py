"""Messages of a topic's window, a page at a time (protocol, section 8)."""

from __future__ import annotations

import attrs

from takotwist.core.topic import EVERYTHING, Message, Topic
from takotwist.ports import IReplayLog

#: Most messages in one answer, and how many where the request does not say.
MAX_LIMIT = 1000
DEFAULT_LIMIT = 100

#: About how many bytes one answer may have.
MAX_BYTES = 4 * 2**20


@attrs.frozen(slots=True)
class History:
    """One answer.

    :ivar cursor: where the next page begins.
    :ivar more: whether there is one now.
    """

    messages: tuple[Message, ...]
    cursor: int
    more: bool


async def read_history(log: IReplayLog, topic: Topic, after: int, limit: int) -> History:
    """The messages of `topic` after a cursor.

    :param after: `EVERYTHING` for the whole window.
    :param limit: 1 to `MAX_LIMIT`.
    :raises ReplayTooOld: the cursor is. :raises CursorInvalid: it was never given out.
    :raises StoreUnavailable: the log cannot be read.
    """
    page = (await log.read(topic, after, limit, MAX_BYTES)).up_to(log.head)
    page.judge(after)
    nothing_after = page.head if after == EVERYTHING else after
    cursor = page.messages[-1].id if page.messages else nothing_after
    return History(page.messages, cursor, page.more)
