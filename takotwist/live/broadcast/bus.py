"""The bus: publications by key, delivered to subscribers in this process.

Rule: one counter a key, for text and bytes together, without a gap; all
subscribers see the same order, also where one of them publishes while it is
told; and one that fails disturbs nobody.

The bus counts what only this process publishes.  What the log has numbered comes by a feed
(`live/broadcast/feed.py`), which is told of the keys that have subscribers.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Protocol

import attrs
from twisted.logger import Logger

from takotwist.live.errors import UsageError
from takotwist.live.machine.frames import Info

#: Keys without subscribers whose counters are remembered.
MAX_IDLE_KEYS = 10_000

#: Longest key, in characters.
MAX_KEY = 1024


@attrs.frozen(slots=True)
class Publication:
    """One message of a key.

    :ivar data: JSON text, or raw bytes where `binary`.
    :ivar values: its marks, as JSON text.
    """

    info: Info
    data: bytes
    binary: bool
    values: bytes = b""


Member = Callable[[Publication], None]


class Feed(Protocol):
    """The source of what others publish."""

    def wanted(self, key: str) -> None:
        """The key has subscribers."""

    def unwanted(self, key: str) -> None:
        """It has none any more."""


def check_key(key: object) -> None:
    """:raises UsageError: it cannot be a key."""
    if not isinstance(key, str) or not key:
        raise UsageError("key must be a text that is not empty")
    if len(key) > MAX_KEY:
        # Keys that nobody uses now are kept too, and an app may make one of what a client said.
        raise UsageError(f"key has {len(key)} characters; at most {MAX_KEY} are taken")


@attrs.define(slots=True, eq=False)
class _Key:
    epoch: int
    seq: int = 0
    members: dict[int, tuple[bool, Member]] = attrs.field(factory=dict)
    queue: deque[Publication] = attrs.field(factory=deque)
    delivering: bool = False


class Bus:
    """Subscribers and counters of all keys.

    :param wall: unix time in seconds.
    :ivar published: publications since the start.
    """

    log = Logger()

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self.wall = wall
        self.published = 0
        self._keys: OrderedDict[str, _Key] = OrderedDict()
        self._idle: OrderedDict[str, None] = OrderedDict()
        self._epoch = 0
        self._next = 0
        self._feed: Feed | None = None

    def connect(self, feed: Feed) -> None:
        """Tell `feed` of the keys that have subscribers, now and later."""
        self._feed = feed
        for key, one in list(self._keys.items()):
            if one.members:
                feed.wanted(key)

    def declared(self, key: str) -> None:
        """A key is durable from now on: its feed is another one, where it has subscribers."""
        if key in self and self._feed is not None:
            self._feed.wanted(key)

    def publish(self, key: str, data: bytes, binary: bool, values: bytes = b"") -> Info:
        """Give a message to every subscriber of `key`, the publisher's own included."""
        one = self._key(key)
        one.seq += 1
        self.published += 1
        info = Info(one.seq, self._milliseconds(), one.epoch)
        self._hand_out(key, one, Publication(info, data, binary, values))
        return info

    def deliver(self, key: str, publication: Publication) -> None:
        """Give a publication that was numbered by the log to every subscriber of `key`."""
        one = self._keys.get(key)
        if one is not None:
            self._hand_out(key, one, publication)

    def new_epoch(self) -> int:
        """A number greater than any before, so that a count that begins anew is seen."""
        self._epoch = max(self._epoch + 1, self._milliseconds())
        return self._epoch

    def subscribe(self, key: str, binary: bool, member: Member) -> Callable[[], None]:
        """Call `member` with every later publication of a kind.

        :param binary: the kind.
        :return: call it to unsubscribe.  Harmless when repeated.
        """
        one = self._key(key)
        self._next += 1
        name = self._next
        one.members[name] = (binary, member)
        self._idle.pop(key, None)
        if len(one.members) == 1 and self._feed is not None:
            self._feed.wanted(key)

        def unsubscribe() -> None:
            if one.members.pop(name, None) is None:
                return
            if not one.members and self._feed is not None:
                self._feed.unwanted(key)
            self._note_idle(key, one)

        return unsubscribe

    def __contains__(self, key: str) -> bool:
        """Tell whether a key has subscribers."""
        one = self._keys.get(key)
        return one is not None and bool(one.members)

    def __len__(self) -> int:
        """The number of keys with subscribers."""
        return len(self._keys) - len(self._idle)

    def _hand_out(self, key: str, one: _Key, publication: Publication) -> None:
        one.queue.append(publication)
        if not one.delivering:
            self._deliver(one)
        self._note_idle(key, one)

    def _deliver(self, one: _Key) -> None:
        one.delivering = True
        try:
            while one.queue:
                publication = one.queue.popleft()
                for name, (binary, member) in list(one.members.items()):
                    if binary != publication.binary or name not in one.members:
                        continue
                    try:
                        member(publication)
                    except Exception:
                        self.log.failure("a subscriber failed")
        finally:
            one.delivering = False

    def _key(self, key: str) -> _Key:
        check_key(key)
        one = self._keys.get(key)
        if one is None:
            one = self._keys[key] = _Key(self.new_epoch())
        return one

    def _note_idle(self, key: str, one: _Key) -> None:
        if one.members or one.delivering:
            return
        self._idle.pop(key, None)
        self._idle[key] = None
        while len(self._idle) > MAX_IDLE_KEYS:
            oldest, _ = self._idle.popitem(last=False)
            del self._keys[oldest]

    def _milliseconds(self) -> int:
        return int(self.wall() * 1000)
