"""What crosses the replay log's port: appends going in, pages coming out.

Rule: every number by which the log later says "too old" is in a `Page`, read
in the same snapshot as its messages.  A watermark read apart from the messages
could miss a removal between the two.
"""

from __future__ import annotations

import attrs
import msgspec

from takotwist.core.channel import Lifecycle
from takotwist.core.cursor import EVERYTHING
from takotwist.core.message import MESSAGE_BYTES, Draft, Message
from takotwist.core.topic import Topic
from takotwist.errors import CursorInvalid, ReplayTooOld


class Append(msgspec.Struct, frozen=True, gc=False):
    """Messages to be stored on one topic, all or none.

    :ivar lifecycle: the topic's bounds; the log remembers the newest it was told.
    :ivar idempotency_key: the same key on the same topic, while its messages are
        in the window, stores nothing and gives the first answer again.
    """

    topic: Topic
    drafts: tuple[Draft, ...]
    lifecycle: Lifecycle
    idempotency_key: str | None = None

    @property
    def size(self) -> int:
        """Bytes, for bounds."""
        drafts = self.drafts
        return len(drafts) * MESSAGE_BYTES + sum(
            [len(draft.data) + len(draft.type) for draft in drafts]
        )


class Appended(msgspec.Struct, frozen=True, gc=False):
    """The answer to one `Append`, given after its transaction committed.

    :ivar messages: as stored, in order.
    :ivar repeated: the key was known; `messages` are those of the first time.
    """

    messages: tuple[Message, ...]
    repeated: bool = False


@attrs.frozen(slots=True)
class Page:
    """Messages of one topic after a cursor, read in one snapshot.

    :ivar messages: in order of id.
    :ivar more: whether the topic has further messages in this snapshot.
    :ivar head: the highest id that the store ever gave out (not this topic
        alone), so a cursor at `head` has seen all there is.
    :ivar removed: the highest id that may have been removed from this topic, the
        store's own beginning included.
    """

    messages: tuple[Message, ...]
    more: bool
    head: int
    removed: int

    def up_to(self, head: int) -> Page:
        """What of it has been reported, where the log's head is `head`.

        A snapshot may be ahead of what the writer has reported: what is in it beyond was
        acknowledged to nobody, and may yet be refused.
        """
        if self.head <= head:
            return self
        seen = tuple(message for message in self.messages if message.id <= head)
        more = self.more and len(seen) == len(self.messages)
        return Page(seen, more, head, self.removed)

    def judge(self, cursor: int) -> None:
        """Say whether resuming at `cursor` can be complete (protocol, section 6).

        :raises ReplayTooOld: a message with a greater id may have been removed.
        :raises CursorInvalid: no such id was ever given out.
        """
        if cursor > self.head:
            raise CursorInvalid("The cursor is newer than any message of this server.")
        if cursor != EVERYTHING and self.removed > cursor:
            raise ReplayTooOld


@attrs.frozen(slots=True)
class LogStats:
    """How much the log holds, for the administrator."""

    topics: int
    messages: int
    bytes: int
