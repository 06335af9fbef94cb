"""What is occupied and what is vacated: the difference between two looks, and between two runs.

Topics with subscribers, Pusher channels, members of those: each is a set of keys that is looked
at every second.  (To be told of each coming and going was the alternative: it is work for every
subscriber, and what comes and goes at once would have to be held back anyway.)

What was told of is recorded in the log, in messages with keys: so after a restart, also after a
crash, who is back is no event, and who is not is one.  Rule: there is no second "occupied"
without a "vacated" between, and the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import attrs
import msgspec
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.core.channel import MINUTE_MS, Lifecycle
from takotwist.core.topic import EVERYTHING, Draft, Topic
from takotwist.errors import Refusal, StoreUnavailable
from takotwist.flow.publish import PublisherService

#: Topics of what was told.  Not a channel's name.
RECORD = "~occupied"

RECORD_LIFECYCLE = Lifecycle(replay_window_ms=MINUTE_MS)

#: Seconds for which something must be gone; and after a start, when clients are coming back.
GRACE, GRACE_AFTER_START = 3.0, 15.0

_PAGE_MESSAGES, _PAGE_BYTES = 512, 256 * 1024


@attrs.define(slots=True, eq=False)
class Occupancy:
    """One kind of thing that is occupied.

    :ivar source: the keys that are occupied now.
    :ivar tell: called with a key, and whether it is occupied or vacated.
    """

    name: str
    source: Callable[[], Collection[str]]
    tell: Callable[[str, bool], None]
    publishing: PublisherService
    _told: set[str] = attrs.field(factory=set, init=False)
    _gone: dict[str, float] = attrs.field(factory=dict, init=False)
    _topic: Topic = attrs.field(init=False)
    _ready: bool = attrs.field(default=False, init=False)
    _reading: bool = attrs.field(default=False, init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    def __attrs_post_init__(self) -> None:
        self._topic = Topic.of(RECORD, {"of": self.name})

    def look(self) -> None:
        """Tell what has changed since the last look."""
        if not self._ready:
            self._begin()
            return
        now, present = self.publishing.seconds(), self.source()
        for key in present:
            if key not in self._told:
                self._told.add(key)
                self._say(key, True)
            elif self._gone:
                self._gone.pop(key, None)
        for key in self._told.difference(present):
            since = self._gone.setdefault(key, now)
            if now >= since + GRACE:
                del self._gone[key]
                self._told.discard(key)
                self._say(key, False)

    def forget(self) -> None:
        """Another node looks after it; it is read anew when this one does again."""
        self._ready = False

    def _say(self, key: str, occupied: bool) -> None:
        self.tell(key, occupied)
        if self.publishing.log.keyed:
            # In the same transaction as the event, as a rule.
            draft = Draft("occupied" if occupied else "vacated", msgspec.json.encode(key))
            storing = self.publishing.publish(
                self._topic, [draft], RECORD_LIFECYCLE, keys=(key,), kept=occupied
            )
            storing.addErrback(self._not_stored)

    def _not_stored(self, failure: Failure) -> None:
        if not failure.check(Refusal):
            self._log.failure("recording what is occupied failed", failure)

    def _begin(self) -> None:
        if self._reading:
            return
        self._reading = True
        reading: Deferred[None] = ensureDeferred(self._read())
        reading.addErrback(self._not_read).addBoth(self._has_read)

    def _has_read(self, _: object) -> None:
        self._reading = False

    def _not_read(self, failure: Failure) -> None:
        if not failure.check(StoreUnavailable):
            self._log.failure("reading what was occupied failed", failure)

    async def _read(self) -> None:
        log = self.publishing.log
        told: set[str] = set()
        after, more = EVERYTHING, log.keyed
        while more:
            page = await log.read(self._topic, after, _PAGE_MESSAGES, _PAGE_BYTES)
            for message in page.messages:
                key = msgspec.json.decode(message.data, type=str)
                (told.add if message.type == "occupied" else told.discard)(key)
                after = message.id
            more = page.more
        # They have as long as clients need that come back.
        back = self.publishing.seconds() + GRACE_AFTER_START - GRACE
        self._told = told
        self._gone = dict.fromkeys(told, back)
        self._ready = True
