"""What a replay log no longer has to keep, decided for every log in one place.

A topic's window is what is younger than its `replay_window_ms` and within its
count and bytes (protocol, section 6).  Rule: a message goes only together with
everything older, and `removed` rises in the same step, so a cursor can always
be told for certain whether it is too old.

A message's age is read off its id, which is the microsecond of its storing or
later.  (A time column was the alternative; it would need its own index and say
the same.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import attrs

from takotwist.core.channel import Lifecycle

#: Most messages that one sweep removes, and most topics that it looks at: about
#: five milliseconds of a disk log's one writer, which is what an append may wait.
STEP_MESSAGES = 1000
STEP_TOPICS = 64

#: Most messages that one append removes from a topic that it made too large.  It
#: is more than a batch adds, so a topic does not outgrow its bounds between sweeps.
APPEND_MESSAGES = 2000

_DAY_US = 24 * 3600 * 1_000_000

#: An empty topic is forgotten after this many of its windows, and at least a day.
_WINDOWS_REMEMBERED = 10


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
    """

    lifecycle: Lifecycle
    removed: int
    head: int = 0
    oldest: int = 0
    count: int = 0
    bytes: int = 0
    active_us: int = 0

    def add(self, first: int, count: int, size: int) -> None:
        """`count` messages of `size` bytes in all were stored, with ids from `first` on."""
        self.oldest = self.oldest or first
        self.head = first + count - 1
        self.count += count
        self.bytes += size

    def take(self, cut: Cut) -> None:
        """What `cut` names was removed."""
        self.removed = max(self.removed, cut.up_to)
        self.oldest = cut.oldest
        self.count -= cut.count
        self.bytes -= cut.bytes

    @property
    def too_large(self) -> bool:
        """Whether count or bytes are over their bounds.

        The newest message alone is never too large: else a message over
        `replay_max_bytes` would be acknowledged and gone in the same moment.
        """
        return self.count > self.lifecycle.replay_max_messages or (
            self.bytes > self.lifecycle.replay_max_bytes and self.count > 1
        )

    @property
    def window_us(self) -> int:
        """How long a message is kept."""
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
) -> Cut | None:
    """What goes from the old end of a topic in one step; `None` where all stays.

    :param now_us: the time by which age is judged, `None` to judge size alone.
    :param oldest_first: (id, size) of the topic's messages; read only as far as needed.
    :param most: most messages in this step.
    :param everything: the topic is to be dropped, so nothing stays.
    """
    bounds = held.lifecycle
    expired = 0 if now_us is None else now_us - held.window_us
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
    """When an idle topic may be forgotten; `None` while it holds messages and has no ttl.

    :param watched_us: the last moment at which it had subscribers, or may have had.
    :param in_use_us: now, where it has subscribers now.
    """
    active_us = max(held.active_us, in_use_us)
    if held.lifecycle.inactivity_ttl_ms:
        return max(active_us, watched_us) + held.lifecycle.inactivity_ttl_ms * 1000
    if not held.count:
        # Nobody asked for this; it bounds the table of topics.  It costs a
        # cursor that is as old as this and belongs to a topic without messages.
        return active_us + max(_DAY_US, _WINDOWS_REMEMBERED * held.window_us)
    return None


def due_at(held: Held, watched_us: int, in_use_us: int = 0) -> int:
    """The first moment at which a sweep may find something to do; see `drop_at`."""
    moments = []
    if held.count:
        moments.append(0 if held.too_large else held.oldest + held.window_us)
    dropped = drop_at(held, watched_us, in_use_us)
    if dropped is not None:
        moments.append(dropped)
    return min(moments)


@attrs.define(slots=True)
class Watched:
    """When each topic was last known to have subscribers.

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
