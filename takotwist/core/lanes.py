"""Webhooks that wait to be delivered, in order, and when each is tried again.

Events of one topic are in one lane and go one after the other; a lane whose event fails waits,
and the others go on.  Rule: no time passes in here but by an argument, in seconds of the
caller's clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Generic, Protocol, TypeVar
from zlib import crc32

import attrs

#: Lanes of one endpoint, and so requests to it at once.
LANES = 16

#: Seconds before the first further attempt, doubled for each, and the most.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0

#: After so many attempts the pause grows no more.
_LONGEST_AFTER = 9


class Numbered(Protocol):
    """Something that stands in the log."""

    @property
    def id(self) -> int: ...


E = TypeVar("E", bound=Numbered)


def lane_of(topic: str) -> int:
    """The lane of a topic."""
    return crc32(topic.encode("utf-8", "surrogatepass")) % LANES


@attrs.define(slots=True)
class _Lane(Generic[E]):
    """One lane.

    :ivar done: all of it up to this id has been delivered, or given up.
    :ivar due: when the first is tried next.
    """

    done: int = 0
    due: float = 0.0
    attempts: int = 0
    busy: bool = False
    waiting: deque[E] = attrs.field(factory=deque)


@attrs.define(slots=True)
class Lanes(Generic[E]):
    """Pending events of one endpoint.

    :ivar read: all events up to this id have been put in here.
    :ivar count: of those that wait.
    """

    read: int = 0
    count: int = attrs.field(default=0, init=False)
    _lanes: list[_Lane[E]] = attrs.field(
        factory=lambda: [_Lane() for _ in range(LANES)], init=False
    )

    def put(self, lane: int, event: E) -> None:
        """An event of the log, in the order of ids; one that is done is left out."""
        one = self._lanes[lane % LANES]
        if event.id > max(one.done, one.waiting[-1].id if one.waiting else 0):
            one.waiting.append(event)
            self.count += 1
        self.read = max(self.read, event.id)

    def take(self, now: float) -> Iterator[tuple[int, E]]:
        """The events that are to be tried now; follow each with one of the next two."""
        for number, lane in enumerate(self._lanes):
            if lane.waiting and not lane.busy and lane.due <= now:
                lane.busy = True
                yield number, lane.waiting[0]

    def delivered(self, number: int) -> None:
        """The first of a lane has been delivered, or is given up."""
        lane = self._lanes[number]
        lane.busy = False
        lane.attempts, lane.due = 0, 0.0
        lane.done = lane.waiting.popleft().id
        self.count -= 1

    def failed(
        self,
        number: int,
        now: float,
        spread: float,
        at_least: float = 0.0,
        longest: float = LONGEST_PAUSE,
    ) -> None:
        """It could not be delivered.

        :param spread: a number from 0 to 1, so that lanes do not come back together.
        :param at_least: seconds that the endpoint asks for.
        :param longest: seconds that it is waited for without being asked to.
        """
        lane = self._lanes[number]
        lane.busy = False
        pause = min(longest, FIRST_PAUSE * 2.0 ** min(lane.attempts, _LONGEST_AFTER))
        lane.attempts += 1
        lane.due = now + max(pause * (0.5 + 0.5 * spread), min(at_least, LONGEST_PAUSE))

    def due(self) -> float | None:
        """The next moment at which `take` yields something; `None` where nothing is pending."""
        return min(
            (lane.due for lane in self._lanes if lane.waiting and not lane.busy), default=None
        )

    # what outlives the process

    @property
    def positions(self) -> tuple[int, Mapping[str, int]]:
        """Up to where all is done, and up to where in each lane that is further."""
        floor = min(
            (lane.waiting[0].id - 1 for lane in self._lanes if lane.waiting), default=self.read
        )
        further = {
            str(number): lane.done for number, lane in enumerate(self._lanes) if lane.done > floor
        }
        return floor, further

    @classmethod
    def resume(cls, floor: int, further: Mapping[str, int]) -> Lanes[E]:
        """Begin where another, or an earlier run, has left off."""
        lanes: Lanes[E] = cls(floor)
        for number, lane in enumerate(lanes._lanes):
            lane.done = max(floor, further.get(str(number), 0))
        return lanes
