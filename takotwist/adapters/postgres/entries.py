"""A batch of appends as the parameters of the function ``append``, and its answer read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b

import attrs
import msgspec
from psycopg.pq.abc import PGresult

from takotwist.adapters.postgres.values import (
    byteas,
    int4s,
    int8,
    int8s,
    read_byteas,
    read_int8,
    read_int8s,
    texts,
)
from takotwist.core.channel import Lifecycle
from takotwist.core.log import Append, Appended, numbered
from takotwist.core.topic import MESSAGE_BYTES, Message, Topic

#: What the function ``append`` is given: see `Batch.parameters`.
PARAMETERS = 35


def digest_of(key: str) -> bytes:
    """By which the store finds a topic: a key may be longer than an index takes."""
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def as_bytes(text: str) -> bytes:
    """A type or a key, which may hold lone surrogates, as JSON may."""
    return text.encode("utf-8", "surrogatepass")


def message_of(topic: Topic, row: Callable[[int], bytes | None], at: int, number: int) -> Message:
    """A message out of a result.

    :param row: gives the columns of its row.
    :param at: where type, data, epoch and seq begin.
    :param number: its id.
    """
    seq = read_int8(row(at + 3))
    place = (read_int8(row(at + 2)), seq) if seq else None
    return Message(topic, number, as_text(row(at) or b""), row(at + 1) or b"", place)


def as_text(stored: bytes) -> str:
    """The same back."""
    return stored.decode("utf-8", "surrogatepass")


@attrs.define(slots=True)
class _Topic:
    """One topic of a batch."""

    topic: Topic
    lifecycle: Lifecycle
    gets: int = 0
    numbered: int = 0


@attrs.frozen(slots=True)
class Stored:
    """The answer.

    :ivar prev: the head before.
    :ivar head: and after.
    :ivar rows: the row of each topic key, 0 where it has none.
    """

    prev: int
    head: int
    appended: list[Appended]
    rows: dict[str, int]


class Batch:
    """Appends that are stored in one transaction.

    :ivar lifecycles: of each topic, as told last.
    """

    def __init__(self, entries: Sequence[Append]) -> None:
        self.entries = entries
        self._topics: dict[str, _Topic] = {}
        #: Entry -> an earlier one with the same key.
        self._again: dict[int, int] = {}
        #: Conditional entries that are not asked about.
        self._refused: set[int] = set()
        self._keys: list[tuple[int, int, bytes]] = []
        self._messages: list[tuple[int, int, int, bytes, bytes]] = []
        #: Of messages with a key: their place among the messages -> its digest.
        self._named: dict[int, bytes] = {}
        #: And 1 where it is kept, else 0; two less where a later one of the batch replaces it.
        self._kept: dict[int, int] = {}
        #: Place of a topic, and a key's digest -> the latest message of both.
        self._latest: dict[tuple[int, bytes], int] = {}
        #: Entry, place of its topic, and the id of `Append.after`.
        self._conditions: list[tuple[int, int, int]] = []
        #: Entry, place of its topic, and most messages and bytes to be kept of that.
        self._bounded: list[tuple[int, int, int, int]] = []
        #: Entry, place of its topic, and the bounds that it tells.
        self._told: list[tuple[int, int, Lifecycle]] = []
        self._collect()

    def _collect(self) -> None:
        places: dict[str, int] = {}
        keys: dict[tuple[str, str], int] = {}
        add = self._messages.append
        for number, entry in enumerate(self.entries):
            key = entry.topic.key
            if entry.after is not None:
                if key in places:
                    # What stands before it in the batch may be newer than its condition.
                    self._refused.add(number)
                    continue
                self._conditions.append((number, len(places) + 1, entry.after))
            place = places.setdefault(key, len(places) + 1)
            topic = self._topics.get(key)
            if topic is None:
                topic = self._topics[key] = _Topic(entry.topic, entry.lifecycle)
            topic.lifecycle = entry.lifecycle
            self._told.append((number, place, entry.lifecycle))
            if not entry.drafts:
                continue
            if entry.idempotency_key is not None:
                first = keys.setdefault((key, entry.idempotency_key), number)
                if first != number:
                    self._again[number] = first
                    continue
                self._keys.append((number, place, as_bytes(entry.idempotency_key)))
            topic.gets = 1
            if entry.numbered:
                topic.numbered = 1
            if entry.keys:
                self._name(entry, place)
            if entry.max_kept:
                most_bytes = entry.lifecycle.replay_max_bytes
                self._bounded.append((number, place, entry.max_kept, most_bytes))
            for draft in entry.drafts:
                kind, data = draft.type, draft.data
                size = len(data) + len(kind) + MESSAGE_BYTES
                add((number, place, size, as_bytes(kind), data))

    def _name(self, entry: Append, place: int) -> None:
        """Take note of the keys of messages that are added next."""
        latest = self._latest
        named = zip(map(digest_of, entry.keys), entry.drafts, strict=True)
        for at, (key, draft) in enumerate(named, len(self._messages)):
            before = latest.get((place, key))
            if before is not None:
                self._kept[before] -= 2
            latest[place, key] = at
            self._named[at] = key
            self._kept[at] = int(entry.kept and not draft.delete)

    def _told_differently(self) -> list[tuple[int, int, Lifecycle]]:
        """Lifecycles of topics that may refuse an entry, where entries do not give the same one: an
        entry that is refused gives none."""
        bounded = {place for _, place, _, _ in self._bounded}
        if not bounded:
            return []
        last = {place: lifecycle for _, place, lifecycle in self._told}
        several = {
            place
            for _, place, lifecycle in self._told
            if place in bounded and lifecycle != last[place]
        }
        return [one for one in self._told if one[1] in several]

    @property
    def lifecycles(self) -> dict[str, Lifecycle]:
        return {key: one.lifecycle for key, one in self._topics.items()}

    @property
    def digested(self) -> Sequence[Append]:
        """Its entries, with keys as other nodes know them: as what the store has of them."""
        if not self._named:
            return self.entries
        return [
            msgspec.structs.replace(one, keys=tuple([digest_of(key).hex() for key in one.keys]))
            for one in self.entries
        ]

    def parameters(
        self, node: str, number: int, seen: int, outbox: Sequence[int] = ()
    ) -> list[bytes]:
        """Of the function.

        :param outbox: ids of what leaves the outbox with it.
        """
        topics = list(self._topics.values())
        bounds = [one.lifecycle for one in topics]
        entry, place, size, kind, data = (
            zip(*self._messages, strict=True) if self._messages else ((), (), (), (), ())
        )
        keyed = range(len(self._messages)) if self._named else ()
        told = self._told_differently()
        return [
            node.encode(),
            int8(number),
            int8(seen),
            byteas([digest_of(key) for key in self._topics]),
            texts(list(self._topics)),
            int8s([one.replay_window_ms for one in bounds]),
            int8s([one.inactivity_ttl_ms for one in bounds]),
            int8s([one.replay_max_messages for one in bounds]),
            int8s([one.replay_max_bytes for one in bounds]),
            int4s([one.gets for one in topics]),
            int4s([one.numbered for one in topics]),
            int4s([one[0] for one in self._keys]),
            int4s([one[1] for one in self._keys]),
            byteas([one[2] for one in self._keys]),
            int4s(entry),
            int4s(place),
            int8s(size),
            byteas(kind),
            byteas(data),
            byteas([self._named.get(at) for at in keyed]),
            int4s([self._kept.get(at, 0) for at in keyed]),
            int8s(outbox),
            int4s([one[0] for one in self._conditions]),
            int4s([one[1] for one in self._conditions]),
            int8s([one[2] for one in self._conditions]),
            int4s([one[0] for one in self._bounded]),
            int4s([one[1] for one in self._bounded]),
            int8s([one[2] for one in self._bounded]),
            int8s([one[3] for one in self._bounded]),
            int4s([one[0] for one in told]),
            int4s([one[1] for one in told]),
            int8s([one[2].replay_window_ms for one in told]),
            int8s([one[2].inactivity_ttl_ms for one in told]),
            int8s([one[2].replay_max_messages for one in told]),
            int8s([one[2].replay_max_bytes for one in told]),
        ]

    def read(self, result: PGresult) -> Stored:
        """The answer of the function."""
        prev, head, base = (read_int8(result.get_value(0, at)) for at in range(3))
        repeated = frozenset(read_int8s(result.get_value(0, 3)))
        rows = read_int8s(result.get_value(0, 4))
        epochs, seqs = (
            dict(zip(self._topics, read_int8s(result.get_value(0, at)), strict=True))
            for at in (5, 6)
        )
        old = self._old(result) if repeated else {}
        appended: list[Appended] = []
        for number, entry in enumerate(self.entries):
            if number in self._again:
                first = appended[self._again[number]]
                appended.append(Appended(first.messages, repeated=True))
            elif entry.after is not None and (number in self._refused or number in repeated):
                appended.append(Appended(()))
            elif entry.max_kept and number in repeated:
                appended.append(Appended((), full=True))
            elif number in repeated:
                appended.append(Appended(tuple(old.get(number, ())), repeated=True))
            else:
                messages: tuple[Message, ...] = tuple(
                    [
                        Message(entry.topic, at, draft.type, draft.data)
                        for at, draft in enumerate(entry.drafts, base)
                    ]
                )
                base += len(messages)
                if entry.numbered and messages:
                    key = entry.topic.key
                    epoch = epochs[key]
                    messages = numbered(messages, (epoch, seqs[key]) if epoch else None)
                    epochs[key], seqs[key] = messages[-1].place or (0, 0)
                appended.append(Appended(messages))
        return Stored(prev, head, appended, dict(zip(self._topics, rows, strict=True)))

    def _old(self, result: PGresult) -> dict[int, list[Message]]:
        found: dict[int, list[Message]] = {}
        for number, stored, epoch, seq, kind, data in zip(
            *(read_int8s(result.get_value(0, at)) for at in range(7, 11)),
            read_byteas(result.get_value(0, 11)),
            read_byteas(result.get_value(0, 12)),
            strict=True,
        ):
            topic = self.entries[number].topic
            found.setdefault(number, []).append(
                Message(topic, stored, as_text(kind), data, (epoch, seq) if seq else None)
            )
        return found
