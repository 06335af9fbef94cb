"""Occupied and vacated names: the difference between two looks, and between two runs.

Topics with subscribers, Pusher channels, members of those: each is a set of keys, on whatever
node, that one node looks at every second.  (To be told of each coming and going was the
alternative: it is work for every subscriber, and what comes and goes at once would have to be
held back anyway.)

What is to be told is decided by a *turn*, a message that is stored on the condition that nothing
was since the last one: so of two nodes that look at once one decides.  Then it is told and
recorded, in messages with keys, and the turn is done.  Whoever comes to a turn that is not done
does it again: each event has the id that its turn gives it, under which it is stored once, and
the record is written by one of those who do it: whoever stood still meanwhile, and wakes when
later turns have been done, changes nothing of what they have recorded.

Rule: there is no second "occupied" without a "vacated" between, and the other way round, also
after a crash, where who is back is no event, and who is not is one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import attrs
import msgspec
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.core.channel import MINUTE_MS, Lifecycle
from takotwist.core.log import Page
from takotwist.core.topic import EVERYTHING, Draft, Message, Topic
from takotwist.errors import Refusal
from takotwist.flow.gather import gather
from takotwist.flow.publish import PublisherService
from takotwist.interfaces import Coro

#: Topics of what was told, and of the turns that tell.  Not channels' names.
RECORD, TURNS = "~occupied", "~occupied-turns"

RECORD_LIFECYCLE = Lifecycle(replay_window_ms=MINUTE_MS)

#: Of turns the newest message counts.
TURNS_LIFECYCLE = Lifecycle(replay_window_ms=366 * 24 * 60 * MINUTE_MS, replay_max_messages=1)

#: Seconds for which something must be gone; and after the start of a process, when clients are
#: coming back, and other nodes have yet to say what they have.
GRACE, GRACE_AFTER_START = 3.0, 15.0

#: Changes of one turn.
TURN_CHANGES = 200

_PAGE_MESSAGES, _PAGE_BYTES = 512, 256 * 1024

#: A key, and whether it is occupied.
Change = tuple[str, bool]

#: Called with a key, whether it is occupied or vacated, and what the event is called however often
#: it is told; fires when it is stored.
Tell = Callable[[str, bool, str], Deferred[Any]]

_CHANGES = msgspec.json.Decoder(list[Change])


class _LostTurn(Exception):
    """Another node is at it, or may be."""


@attrs.define(slots=True, eq=False)
class Occupancy:
    """One kind of thing that is occupied.

    :ivar source: the keys that are occupied now.
    :ivar tell: see `Tell`.
    :ivar held: whether this node is the one that looks.
    """

    name: str
    source: Callable[[], Collection[str]]
    tell: Tell
    publishing: PublisherService
    held: Callable[[], bool]
    _told: set[str] = attrs.field(factory=set, init=False)
    _gone: dict[str, float] = attrs.field(factory=dict, init=False)
    _record: Topic = attrs.field(init=False)
    _turns: Topic = attrs.field(init=False)
    _began: float = attrs.field(init=False)
    #: The id of the last turn's last message.
    _at: int = attrs.field(default=EVERYTHING, init=False)
    #: And up to where this node knows the record.
    _recorded: int = attrs.field(default=EVERYTHING, init=False)
    _ready: bool = attrs.field(default=False, init=False)
    _working: bool = attrs.field(default=False, init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    def __attrs_post_init__(self) -> None:
        self._record = Topic.of(RECORD, {"of": self.name})
        self._turns = Topic.of(TURNS, {"of": self.name})
        self._began = self.publishing.seconds()

    def look(self) -> None:
        """Tell what has changed since the last look."""
        if not self.held():
            # It is read anew when this node looks again.
            self._ready = False
        elif self._working:
            pass
        elif not self._ready:
            self._work(self._begin())
        elif changes := self._changes():
            self._work(self._turns_of(changes))

    def _changes(self) -> list[Change]:
        now, present = self.publishing.seconds(), self.source()
        changes: list[Change] = []
        for key in present:
            if key not in self._told:
                changes.append((key, True))
            elif self._gone:
                self._gone.pop(key, None)
        for key in self._told.difference(present):
            if now >= self._gone.setdefault(key, now) + GRACE:
                changes.append((key, False))
        return changes

    def _work(self, work: Coro[None]) -> None:
        self._working = True
        ensureDeferred(work).addErrback(self._failed).addBoth(self._worked)

    def _worked(self, _: object) -> None:
        self._working = False

    def _failed(self, failure: Failure) -> None:
        # How far it came is in the log.
        self._ready = False
        if not failure.check(Refusal, _LostTurn):
            self._log.failure("telling what is occupied failed", failure)

    async def _turns_of(self, changes: Sequence[Change]) -> None:
        for begin in range(0, len(changes), TURN_CHANGES):
            some = changes[begin : begin + TURN_CHANGES]
            self._at = await self._say("turn", msgspec.json.encode(some))
            await self._do(some)
            for key, occupied in some:
                self._gone.pop(key, None)
                (self._told.add if occupied else self._told.discard)(key)

    async def _do(self, changes: Sequence[Change]) -> None:
        """Do what the last turn has decided, which may have been done before."""
        if not self.held():
            raise _LostTurn
        doing: list[Deferred[Any]] = [
            self.tell(key, occupied, f"{self._at}.{number}")
            for number, (key, occupied) in enumerate(changes)
        ]
        if self.publishing.log.keyed:
            doing.append(ensureDeferred(self._put_down(changes)))
        await gather(doing)
        self._at = await self._say("done", b"null")

    async def _say(self, kind: str, data: bytes) -> int:
        """Store the next message of turns; its id.

        :raises _LostTurn: another node has stored one.
        """
        stored = await self.publishing.publish(
            self._turns, [Draft(kind, data)], TURNS_LIFECYCLE, after=self._at
        )
        if not stored.messages:
            raise _LostTurn
        return stored.messages[0].id

    async def _put_down(self, changes: Sequence[Change]) -> None:
        """Record them.

        :raises _LostTurn: another node has recorded something.
        """
        for kept in (True, False):
            keys = tuple([key for key, occupied in changes if occupied is kept])
            if keys:
                kind = "occupied" if kept else "vacated"
                stored = await self.publishing.publish(
                    self._record,
                    [Draft(kind, msgspec.json.encode(key)) for key in keys],
                    RECORD_LIFECYCLE,
                    keys=keys,
                    kept=kept,
                    after=self._recorded,
                )
                if not stored.messages:
                    raise _LostTurn
                self._recorded = stored.messages[-1].id

    async def _begin(self) -> None:
        # Before the turns: what is recorded of a turn after the last one is not known then.
        page = await self.publishing.log.read(self._record, EVERYTHING, 1, _PAGE_BYTES)
        self._recorded = page.head
        messages, page = await self._read(self._turns)
        self._at = max(page.removed, messages[-1].id if messages else EVERYTHING)
        if messages and messages[-1].type == "turn":
            await self._do(_CHANGES.decode(messages[-1].data))
        told: set[str] = set()
        if self.publishing.log.keyed:
            messages, page = await self._read(self._record)
            for message in messages:
                key = msgspec.json.decode(message.data, type=str)
                (told.add if message.type == "occupied" else told.discard)(key)
            self._recorded = page.head
        back = max(self.publishing.seconds(), self._began + GRACE_AFTER_START - GRACE)
        self._told, self._gone = told, dict.fromkeys(told, back)
        self._ready = self.held()

    async def _read(self, topic: Topic) -> tuple[list[Message], Page]:
        messages: list[Message] = []
        after = EVERYTHING
        while True:
            page = await self.publishing.log.read(topic, after, _PAGE_MESSAGES, _PAGE_BYTES)
            messages += page.messages
            if not page.more:
                return messages, page
            after = page.messages[-1].id
