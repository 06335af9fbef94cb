"""Appends, reports and pages, which cross the port of the replay log, and group commit.

Every number by which the log later says "too old" is in a `Page`, read in the same
snapshot as its messages: a watermark read apart from the messages could miss a
removal between the two.

Appends that arrive while a transaction is under way form the next one.  No timer:
alone it is one message and low latency, under load it is hundreds a transaction.
Rule: at most one batch is out at a time, so the order of offers is the order of ids.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from typing import Final, Generic, Protocol, TypeVar

import attrs
import msgspec

from takotwist.core.channel import Lifecycle
from takotwist.core.topic import EVERYTHING, MESSAGE_BYTES, Draft, Message, Topic
from takotwist.errors import CursorInvalid, Overloaded, ReplayTooOld


class Append(msgspec.Struct, frozen=True, gc=False):
    """Messages to be stored on one topic, all or none.

    :ivar lifecycle: the topic's bounds; the log remembers the newest it was told.
    :ivar idempotency_key: the same key on the same topic, while its messages are
        in the window, stores nothing and gives the first answer again.
    :ivar numbered: the log counts the topic's messages, without a gap, in the
        transaction that stores them; see `Message.place`.
    :ivar keys: one for each draft, or none.  A message replaces the topic's earlier message
        of the same key, in the same transaction.  That raises no watermark: whoever resumes
        before it is given the later one, so they have the latest of each key, which is what
        a topic with keys promises.  An append has keys, or an idempotency key or numbers,
        which go with messages that stay.
    :ivar kept: its messages, which have keys, stay until they are replaced: neither age nor
        the topic's bounds remove them, they count for no bound, and the topic is not dropped.
        A message of the same key that is not kept ends that, and goes with the window as any
        other does, raising the watermark: after it is gone no cursor before it is taken.
        So is a draft of it that says `Draft.delete`.
    :ivar max_kept: of an append with keys: where it would have the topic keep more messages
        than these, or more bytes than `Lifecycle.replay_max_bytes`, nothing of it is stored,
        and it is answered as `Appended.full`.  0: no bound.  What adds nothing to what is
        over a bound already (it was lowered) is stored.
    :ivar after: store it only where the topic has had no message, and lost none, with an id
        above this one: by whom the topic was read up to there, whoever else writes to it.
        Otherwise nothing of it is stored, nor are its bounds taken, and no messages are
        answered; so too, where a log likes, behind another entry of the topic in the same
        call.  Such an append has drafts, and no idempotency key.
    """

    topic: Topic
    drafts: tuple[Draft, ...]
    lifecycle: Lifecycle
    idempotency_key: str | None = None
    numbered: bool = False
    keys: tuple[str, ...] = ()
    kept: bool = False
    after: int | None = None
    max_kept: int = 0

    @property
    def size(self) -> int:
        """Bytes, for bounds."""
        drafts = self.drafts
        return len(drafts) * MESSAGE_BYTES + sum(
            [len(draft.data) + len(draft.type) for draft in drafts]
        )


class Appended(msgspec.Struct, frozen=True, gc=False):
    """The answer to one `Append`, given after its transaction committed.

    :ivar messages: as stored, in order; none where its condition (`Append.after`) did not hold.
    :ivar repeated: the key was known; `messages` are those of the first time.
    :ivar full: nothing was stored, because of `Append.max_kept`.
    """

    messages: tuple[Message, ...]
    repeated: bool = False
    full: bool = False


def numbered(messages: Sequence[Message], last: tuple[int, int] | None) -> tuple[Message, ...]:
    """The next messages of a numbered topic, with their places.

    :param last: the place of the one before; `None` where there was none, and an epoch begins.
    """
    epoch, seq = last or (messages[0].id // 1000, 0)
    return tuple(
        [
            Message(one.topic, one.id, one.type, one.data, (epoch, number))
            for number, one in enumerate(messages, seq + 1)
        ]
    )


class Reported(msgspec.Struct, frozen=True, gc=False):
    """The messages of one topic in a `Report`, in order of id.

    :ivar lifecycle: the topic's bounds, as the log was last told.
    :ivar keys: what tells the key of each message from others (`Append.keys`), in whatever form
        the log has it; none where no message has one.
    """

    key: str
    lifecycle: Lifecycle
    messages: Sequence[Message]
    keys: Sequence[str | None] = ()


#: In place of the keys of a report's skipped topics: all that are followed.
ALL: Final = None


class Report(msgspec.Struct, frozen=True, gc=False):
    """Messages that a log has stored in one consecutive range of ids.

    The range begins behind the head of the report before it, so a log that counts heads
    notices each report that was lost.  (A predecessor named by each message was the
    alternative: a number more for every message, and an idle check for every topic
    where here one number is asked for.)

    :ivar head: the last id of the range.
    :ivar topics: each topic once, in the order of their first messages; of a range of several
        transactions the server's own topics (`topic.INTERNAL`) before all others.
    :ivar skipped: keys of topics of which messages in the range may be missing here, or
        `ALL`: their readers go on from the log.
    """

    head: int
    topics: Sequence[Reported]
    skipped: Collection[str] | None = ()

    @classmethod
    def of(cls, head: int, entries: Sequence[Append], appended: Sequence[Appended]) -> Report:
        """The report of one transaction.

        :param appended: the answers to `entries`.
        """
        if len(entries) == 1:
            one, stored = entries[0], appended[0]
            messages = () if stored.repeated else stored.messages
            if not messages:
                return cls(head, ())
            return cls(head, (Reported(one.topic.key, one.lifecycle, messages, one.keys),))
        by_topic: dict[str, tuple[Append, list[Message], list[str | None]]] = {}
        for entry, answer in zip(entries, appended, strict=True):
            if answer.messages and not answer.repeated:
                # The newest bounds are those that the log goes by.
                _, given, keys = by_topic.get(entry.topic.key, (entry, [], []))
                if entry.keys:
                    keys += [None] * (len(given) - len(keys))
                    keys += entry.keys
                given += answer.messages
                by_topic[entry.topic.key] = (entry, given, keys)
        return cls(
            head,
            [
                Reported(key, last.lifecycle, given, keys)
                for key, (last, given, keys) in by_topic.items()
            ],
        )


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
        """The part of it that has been reported, where the log's head is `head`.

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
    """The size of the log, for the administrator."""

    topics: int
    messages: int
    bytes: int


class Sized(Protocol):
    """Something with a size in bytes."""

    @property
    def size(self) -> int: ...


T = TypeVar("T", bound=Sized)


#: Most entries and bytes in one transaction.
BATCH, BATCH_BYTES = 512, 4 * 2**20

#: And of a store that several servers share: the others wait for it, some milliseconds.
SHARED_BATCH, SHARED_BATCH_BYTES = 128, 512 * 1024


@attrs.define(slots=True)
class GroupCommit(Generic[T]):
    """Collects entries into batches.

    :ivar max_batch: most entries in one transaction.
    :ivar max_batch_bytes: and most bytes, though always at least one entry.
    :ivar max_waiting: most entries waiting for the next transactions.
    :ivar max_waiting_bytes: and most bytes.
    """

    max_batch: int = BATCH
    max_batch_bytes: int = BATCH_BYTES
    max_waiting: int = 10_000
    max_waiting_bytes: int = 64 * 2**20
    _waiting: deque[T] = attrs.field(factory=deque, init=False)
    _waiting_bytes: int = attrs.field(default=0, init=False)
    _under_way: bool = attrs.field(default=False, init=False)

    def offer(self, entry: T) -> None:
        """Queue `entry` behind all that were offered before.

        :raises Overloaded: too much waits already; nothing was queued.
        """
        if (
            len(self._waiting) >= self.max_waiting
            or self._waiting_bytes + entry.size > self.max_waiting_bytes
        ):
            raise Overloaded("Too many messages wait to be stored.")
        self._waiting.append(entry)
        self._waiting_bytes += entry.size

    def take(self) -> list[T]:
        """The next batch, or nothing where one is under way or none waits."""
        if self._under_way or not self._waiting:
            return []
        batch: list[T] = []
        room = self.max_batch_bytes
        while self._waiting and len(batch) < self.max_batch:
            size = self._waiting[0].size
            if batch and size > room:
                break
            room -= size
            self._waiting_bytes -= size
            batch.append(self._waiting.popleft())
        self._under_way = True
        return batch

    def finished(self) -> None:
        """The batch that was out has committed or failed."""
        self._under_way = False

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is under way."""
        return not self._under_way and not self._waiting

    @property
    def waiting(self) -> int:
        """Entries that wait for a transaction."""
        return len(self._waiting)
