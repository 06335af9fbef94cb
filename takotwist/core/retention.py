"""Retention: what leaves a topic's window, decided for every log in one place.

A topic's window is what is younger than its `replay_window_ms` and within its
count and bytes (protocol, section 6).  Rule: a message goes only together with
everything older, and `removed` rises in the same step, so a cursor can always
be told for certain whether it is too old.

A message's age is read off its id, which is the microsecond of its storing or
later.  (A time column was the alternative; it would need its own index and say
the same.)  Where the clock was wrong and was set back, ids are ahead of it; then
`Ages` knows more.

Two things are no part of the window: a message that a later one of its key replaces leaves it
from the middle, and no watermark rises; and what is kept (`Append.kept`) is never in it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache

import attrs

from takotwist.core.channel import Lifecycle
from takotwist.core.log import Append

#: Most messages that one sweep removes, and most topics that it looks at: about
#: five milliseconds of a disk log's one writer, which is what an append may wait.
STEP_MESSAGES = 1000
STEP_TOPICS = 64

#: Most messages that one append removes from a topic that it made too large.  It
#: is more than a batch adds, so a topic does not outgrow its bounds between sweeps.
APPEND_MESSAGES = 2000

#: Later than any time.
NEVER = 2**62

DAY_US = 24 * 3600 * 1_000_000

#: An empty topic is forgotten after this many of its windows, and at least a day.
WINDOWS_REMEMBERED = 10


#: Ids are ahead of the clock from here on: less is what a burst of messages does, or NTP.
AHEAD_US = 1_000_000

#: Most marks; past these every second one of the older half goes.
MAX_MARKS = 512

#: Every id up to the first number was stored at the second, unix time in microseconds, or before.
Mark = tuple[int, int]


@attrs.define(slots=True)
class Ages:
    """Times of storing of messages whose ids are ahead of the clock.

    Whatever is there now was stored by now: so each look at an ahead head is a mark, and a
    message is too old for certain when a mark above it is.  It may be kept for longer than
    its window by the time between two marks, and is never removed before.

    :ivar marks: both numbers rise.
    """

    marks: list[Mark] = attrs.field(factory=list)
    _ahead: bool = attrs.field(default=False, init=False)
    _latest_us: int = attrs.field(default=0, init=False)

    def look(self, head: int, now_us: int) -> bool:
        """Take note of how ids and clock stand.

        :return: whether the clock was set back since the last look, so that what was planned
            for later has to be planned anew.
        """
        marks = self.marks
        back = self._latest_us - AHEAD_US > now_us
        # Nothing that is there was stored later than now.
        later = [mark[0] for mark in marks if mark[1] > now_us]
        if later:
            del marks[-len(later) :]
            marks.append((later[-1], now_us))
            back = True
        ahead = head > now_us + AHEAD_US
        back = back or (ahead and not self._ahead)
        if ahead and (not marks or marks[-1][0] < head):
            if marks and marks[-1][1] == now_us:
                del marks[-1]
            marks.append((head, now_us))
        if len(marks) > MAX_MARKS:
            del marks[: len(marks) // 2 : 2]
        self._ahead, self._latest_us = ahead, now_us
        return back

    def up_to(self, moment_us: int) -> int:
        """Every id up to this one was stored at `moment_us` or before."""
        sure = [mark[0] for mark in self.marks if mark[1] <= moment_us]
        return max(moment_us, sure[-1]) if sure else moment_us

    def stored_by(self, id: int) -> int:
        """The latest time at which the message `id`, which a look has seen, was stored."""
        at = bisect_left(self.marks, (id, 0))
        return min(id, self.marks[at][1]) if at < len(self.marks) else id


#: What of a lifecycle concerns a log, in the order of its columns.
Bounds = tuple[int, int, int, int]


def bounds_of(lifecycle: Lifecycle) -> Bounds:
    """The bounds that the log enforces."""
    return (
        lifecycle.replay_window_ms,
        lifecycle.inactivity_ttl_ms,
        lifecycle.replay_max_messages,
        lifecycle.replay_max_bytes,
    )


@lru_cache(maxsize=256)
def lifecycle_of(bounds: Bounds) -> Lifecycle:
    """A lifecycle with these bounds."""
    window, ttl, most, most_bytes = bounds
    return Lifecycle(
        replay_window_ms=window,
        inactivity_ttl_ms=ttl,
        replay_max_messages=most,
        replay_max_bytes=most_bytes,
    )


@attrs.define(slots=True)
class Held:
    """The numbers of one topic that a log keeps beside the messages.

    :ivar lifecycle: the bounds, as the log was last told.
    :ivar removed: the highest id that may have been removed; at first the log's
        own watermark, because an earlier topic of this key may have been dropped.
    :ivar head: the newest id ever stored, 0 where there was none.
    :ivar oldest: the oldest id still kept, 0 where none is.
    :ivar count: messages kept.
    :ivar bytes: their size, as `Message.size` counts it.
    :ivar active_us: when something was last published.
    :ivar kept: messages that stay until they are replaced; `oldest`, `count` and `bytes`
        are of the others alone.
    :ivar kept_bytes: their size.
    """

    lifecycle: Lifecycle
    removed: int
    head: int = 0
    oldest: int = 0
    count: int = 0
    bytes: int = 0
    active_us: int = 0
    kept: int = 0
    kept_bytes: int = 0

    def add(self, first: int, count: int, size: int) -> None:
        """`count` messages of `size` bytes in all were stored, with ids from `first` on."""
        self.oldest = self.oldest or first
        self.head = first + count - 1
        self.count += count
        self.bytes += size

    def keep(self, id: int, size: int) -> None:
        """A message was stored that stays until it is replaced."""
        self.head = id
        self.kept += 1
        self.kept_bytes += size

    def replaced(self, size: int, *, kept: bool) -> None:
        """A message has gone for a later one of its key.

        Where it was the oldest in the window, `oldest` is to be set anew.
        """
        if kept:
            self.kept -= 1
            self.kept_bytes -= size
        else:
            self.count -= 1
            self.bytes -= size

    def full(self, entry: Append, before: Callable[[str], tuple[int, bool] | None]) -> bool:
        """`True` where an append would keep more than its `max_kept` and bytes allow.

        :param before: gives the size of the message of a key, and whether it is kept; `None`
            where there is none.
        """
        if not entry.max_kept:
            return False
        count = size = 0
        # Of several messages of one key the last stays.
        for key, draft in dict(zip(entry.keys, entry.drafts, strict=True)).items():
            stored = before(key)
            if stored is not None and stored[1]:
                count, size = count - 1, size - stored[0]
            if entry.kept and not draft.delete:
                count, size = count + 1, size + draft.size
        return (count > 0 and self.kept + count > entry.max_kept) or (
            size > 0 and self.kept_bytes + size > entry.lifecycle.replay_max_bytes
        )

    def take(self, cut: Cut) -> None:
        """Take note that what `cut` names was removed."""
        self.removed = max(self.removed, cut.up_to)
        self.oldest = cut.oldest
        self.count -= cut.count
        self.bytes -= cut.bytes

    @property
    def too_large(self) -> bool:
        """`True` where count or bytes are over their bounds.

        The newest message alone is never too large: else a message over
        `replay_max_bytes` would be acknowledged and gone in the same moment.
        """
        return self.count > self.lifecycle.replay_max_messages or (
            self.bytes > self.lifecycle.replay_max_bytes and self.count > 1
        )

    @property
    def newest(self) -> int:
        """The highest id that the topic has had, or may have had and lost."""
        return max(self.head, self.removed)

    @property
    def window_us(self) -> int:
        """The time for which a message is kept."""
        return self.lifecycle.replay_window_ms * 1000


@attrs.frozen(slots=True)
class Cut:
    """The old end of a topic that goes.

    :ivar up_to: every id up to this one, itself included.
    :ivar count: how many messages that is.
    :ivar bytes: their size.
    :ivar oldest: the first id that stays, 0 where none does.
    """

    up_to: int
    count: int
    bytes: int
    oldest: int


def cut(
    held: Held,
    now_us: int | None,
    oldest_first: Iterable[tuple[int, int]],
    most: int,
    *,
    everything: bool = False,
    ages: Ages | None = None,
) -> Cut | None:
    """The cut at the old end of a topic in one step; `None` where all stays.

    :param now_us: the time by which age is judged, `None` to judge size alone.
    :param oldest_first: (id, size) of the messages in its window; read only as far as needed.
    :param most: most messages in this step.
    :param everything: the topic is to be dropped, so nothing stays.
    :param ages: where ids are ahead of the clock.
    """
    bounds = held.lifecycle
    expired = 0 if now_us is None else now_us - held.window_us
    if ages is not None and ages.marks:
        expired = ages.up_to(expired)
    up_to = count = size = oldest = 0
    for message, its_size in oldest_first:
        left, left_bytes = held.count - count, held.bytes - size
        goes = (
            everything
            or message <= expired
            or left > bounds.replay_max_messages
            or (left_bytes > bounds.replay_max_bytes and left > 1)
        )
        if not goes or count == most:
            oldest = message
            break
        up_to, count, size = message, count + 1, size + its_size
    return Cut(up_to, count, size, oldest) if count else None


def drop_at(held: Held, watched_us: int, in_use_us: int = 0) -> int | None:
    """The time at which an idle topic may go; `None` while it holds messages and has no ttl,
    or holds some that are kept.

    :param watched_us: the last moment at which it had subscribers, or may have had.
    :param in_use_us: now, where it has subscribers now.
    """
    if held.kept:
        return None
    active_us = max(held.active_us, in_use_us)
    if held.lifecycle.inactivity_ttl_ms:
        return max(active_us, watched_us) + held.lifecycle.inactivity_ttl_ms * 1000
    if not held.count:
        # Nobody asked for this; it bounds the table of topics.  It costs a
        # cursor that is as old as this and belongs to a topic without messages.
        return active_us + max(DAY_US, WINDOWS_REMEMBERED * held.window_us)
    return None


def due_at(held: Held, watched_us: int, stored_us: int, in_use_us: int = 0) -> int:
    """The first moment at which a sweep may find something to do; see `drop_at`.

    :param stored_us: when the oldest message was stored at the latest; see `Ages`.
    """
    moments = []
    if held.count:
        moments.append(0 if held.too_large else stored_us + held.window_us)
    dropped = drop_at(held, watched_us, in_use_us)
    if dropped is not None:
        moments.append(dropped)
    # None where all that it holds is kept.
    return min(moments, default=NEVER)


@attrs.define(slots=True)
class Watched:
    """The times at which each topic was last known to have subscribers.

    Costs nothing until a lifecycle has an inactivity ttl, because nothing else asks.

    :ivar opened_us: when the log was opened.  Before that nobody looked, so every
        topic counts as watched until then: a restart drops nothing early.
    """

    opened_us: int = 0
    _longest_ttl_us: int = 0
    _seen: dict[str, int] = attrs.field(factory=dict, init=False)

    def told(self, inactivity_ttl_ms: int) -> None:
        """A topic has this ttl."""
        self._longest_ttl_us = max(self._longest_ttl_us, inactivity_ttl_ms * 1000)

    def see(self, in_use: Collection[str], now_us: int) -> None:
        """The topics of these keys have subscribers now."""
        if not self._longest_ttl_us:
            return
        self._seen.update(dict.fromkeys(in_use, now_us))
        if len(self._seen) > 2 * len(in_use) + 1024:
            recent = now_us - self._longest_ttl_us
            self._seen = {key: at for key, at in self._seen.items() if at > recent}

    def last(self, key: str) -> int:
        """The last moment at which the topic of `key` may have had subscribers."""
        return max(self._seen.get(key, 0), self.opened_us)
