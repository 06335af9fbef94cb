"""A replay log written down as plainly as its promises, to hold the real ones against.

It keeps whole lists and looks at every message each time, which no real log could.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import attrs

from takotwist.core.channel import Lifecycle
from takotwist.core.log import Append
from takotwist.core.topic import Message

DAY = 24 * 3600 * 1_000_000


@attrs.define
class ModelTopic:
    """One topic: what it holds, and what was once told in it.

    :ivar gone: ids that were removed.
    :ivar floor: the watermark at the time this topic came to be.
    :ivar spared: when it was last not forgotten only because it had subscribers.
    :ivar named: id -> key, of messages that have one.
    :ivar kept: ids of those that stay until they are replaced.
    :ivar newest: the highest id that it ever had.
    """

    lifecycle: Lifecycle
    floor: int
    messages: list[Message] = attrs.field(factory=list)
    gone: list[int] = attrs.field(factory=list)
    answers: dict[str, tuple[Message, ...]] = attrs.field(factory=dict)
    active: int = 0
    spared: int = 0
    named: dict[int, str] = attrs.field(factory=dict)
    kept: set[int] = attrs.field(factory=set)
    newest: int = 0

    @property
    def removed(self) -> int:
        return max([self.floor, *self.gone])

    @property
    def head(self) -> int:
        return self.newest

    @property
    def window(self) -> list[Message]:
        return [one for one in self.messages if one.id not in self.kept]

    def keep(self, kept: Sequence[Message]) -> None:
        self.gone += [message.id for message in self.window if message not in kept]
        self.messages = [one for one in self.messages if one in kept or one.id in self.kept]

    def replace(self, key: str, kept: bool, message: Message) -> None:
        """No watermark rises for the message of this key that goes."""
        self.messages = [one for one in self.messages if self.named.get(one.id) != key]
        self.messages.append(message)
        self.named[message.id] = key
        if kept:
            self.kept.add(message.id)

    def trim(self) -> None:
        """Count and bytes."""
        kept = self.window[-self.lifecycle.replay_max_messages :]
        while len(kept) > 1 and sum(one.size for one in kept) > self.lifecycle.replay_max_bytes:
            kept = kept[1:]
        self.keep(kept)


def overfull(entry: Append, topic: ModelTopic | None) -> bool:
    """Whether the topic would keep more than the append's bounds, and more than it does."""
    sizes = {}
    if topic is not None:
        sizes = {topic.named[one.id]: one.size for one in topic.messages if one.id in topic.kept}
    count, size = len(sizes), sum(sizes.values())
    for key, draft in zip(entry.keys, entry.drafts, strict=True):
        sizes.pop(key, None)
        if entry.kept and not draft.delete:
            sizes[key] = Message(entry.topic, 1, draft.type, draft.data).size
    return count < len(sizes) > entry.max_kept or (
        size < sum(sizes.values()) > entry.lifecycle.replay_max_bytes
    )


@attrs.define
class ModelLog:
    """The log.  `now` in microseconds wherever it is given."""

    head: int
    removed: int
    opened: int
    topics: dict[str, ModelTopic] = attrs.field(factory=dict)
    seen: dict[str, int] = attrs.field(factory=dict)
    ttl_known: bool = False

    def append(self, entries: Sequence[Append], now: int) -> list[tuple[bool, list[int]]]:
        """Whether repeated, and the ids, of each entry."""
        answers = []
        touched = set()
        for entry in entries:
            topic = self.topics.get(entry.topic.key)
            if entry.max_kept and overfull(entry, topic):
                answers.append((False, []))
                continue
            touched.add(entry.topic.key)
            if topic is None:
                topic = ModelTopic(entry.lifecycle, self.removed)
                self.topics[entry.topic.key] = topic
            topic.lifecycle, topic.active, topic.spared = entry.lifecycle, now, 0
            self.ttl_known = self.ttl_known or entry.lifecycle.inactivity_ttl_ms > 0
            key = entry.idempotency_key
            first = topic.answers.get(key, ()) if key is not None else ()
            if first and all(message in topic.messages for message in first):
                answers.append((True, [message.id for message in first]))
                continue
            stored = []
            for draft in entry.drafts:
                self.head = max(self.head + 1, now) if not stored else self.head + 1
                stored.append(Message(entry.topic, self.head, draft.type, draft.data))
            if entry.keys:
                for name, draft, message in zip(entry.keys, entry.drafts, stored, strict=True):
                    topic.replace(name, entry.kept and not draft.delete, message)
            else:
                topic.messages += stored
            topic.newest = stored[-1].id
            if key is not None:
                topic.answers[key] = tuple(stored)
            answers.append((False, [message.id for message in stored]))
        for key in touched:
            self.topics[key].trim()
        return answers

    def sweep(self, now: int, in_use: Collection[str]) -> None:
        """A whole sweep, to its end."""
        if self.ttl_known:
            self.seen.update(dict.fromkeys(in_use, now))
        for key, topic in list(self.topics.items()):
            window = topic.lifecycle.replay_window_ms * 1000
            ttl = topic.lifecycle.inactivity_ttl_ms * 1000
            idle = max(topic.active, self.seen.get(key, 0), self.opened)
            stays = any(one.id in topic.kept for one in topic.messages)
            dropped = bool(ttl) and idle + ttl <= now and key not in in_use and not stays
            if not dropped:
                topic.keep([one for one in topic.window if one.id > now - window])
                topic.trim()
            forgotten = (
                not ttl
                and not topic.messages
                and max(topic.active, topic.spared) + max(DAY, 10 * window) <= now
            )
            if forgotten and key in in_use:
                forgotten, topic.spared = False, now
            if dropped or forgotten:
                self.removed = max(self.removed, topic.head)
                del self.topics[key]

    def restart(self, now: int) -> None:
        """The server stops and starts."""
        self.opened = now
        self.seen = {}
        self.ttl_known = any(topic.lifecycle.inactivity_ttl_ms for topic in self.topics.values())
