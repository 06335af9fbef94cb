"""Fair concurrency limit: a bounded number of calls of the app, and a fair queue for the others.

After a restart ten thousand clients come back in one second; the app is asked for a
few at a time and nobody is refused for having come together.  Slots are given out
round robin over the channels, and in each over the addresses that ask, so a channel
whose `verify` is slow, or a client that asks a thousand times, makes its own callers
wait and not the others.  First come first served was the alternative: 400 connects to
one slow channel then go before everybody.

A channel has at most three quarters of the slots: round robin alone gives another
channel the next slot that comes free, and where all calls in flight are slow that
takes as long as they do.

Rule: the queue is bounded in length and in time, so a stuck app cannot fill it for
good.
"""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from takotwist.errors import AuthUnavailable, Overloaded


def share(of: int) -> int:
    """The most of `of` that one channel may have: three quarters, rounded up."""
    return -(-of * 3 // 4)


@attrs.frozen(slots=True)
class _Waiting:
    """A waiting call."""

    channel: str
    address: str
    since: float


#: Of one channel: address -> calls that wait from there, in order of arrival.
_Queue = dict[str, dict[Deferred[None], None]]


class ConcurrencyLimit:
    """A bounded number of slots, shared out by channel and by address.

    :param places: most calls in flight; of one channel, three quarters.
    :param length: most calls that wait; of one channel, three quarters.
    :param patience: queue timeout in seconds.
    """

    def __init__(
        self, clock: IReactorTime, *, places: int, length: int = 20_000, patience: float = 30.0
    ) -> None:
        self._clock = clock
        self._free = places
        self._most_inside = share(places)
        self._length = length
        self._most_waiting = share(length)
        self._patience = patience
        self._inside: dict[str, int] = {}
        # In order of arrival, for the queue timeout.
        self._waiting: dict[Deferred[None], _Waiting] = {}
        # In order of turns: channel and address that got a slot go to the end.
        self._queues: dict[str, _Queue] = {}
        self._waiting_of: dict[str, int] = {}
        self._timer: IDelayedCall | None = None
        self._giving_out = False

    @property
    def waiting(self) -> int:
        """Number of calls that wait."""
        return len(self._waiting)

    def take(self, channel: str) -> bool:
        """Take a slot if there is one now; calls that wait then wait for their own channel."""
        inside = self._inside.get(channel, 0)
        if self._free > 0 and inside < self._most_inside:
            self._free -= 1
            self._inside[channel] = inside + 1
            return True
        return False

    def enter(self, channel: str, address: str) -> Deferred[None]:
        """Take a slot, and give it back with `leave`.  Cancelling leaves the queue.

        :raises Overloaded: the queue is full.
        :raises AuthUnavailable: no slot came free in time.
        """
        if self.take(channel):
            return succeed(None)
        waiting = self._waiting_of.get(channel, 0)
        if len(self._waiting) >= self._length or waiting >= self._most_waiting:
            raise Overloaded("Too many requests wait for the app.")
        place: Deferred[None] = Deferred(self._forget)
        self._waiting[place] = _Waiting(channel, address, self._clock.seconds())
        self._waiting_of[channel] = waiting + 1
        self._queues.setdefault(channel, {}).setdefault(address, {})[place] = None
        if self._timer is None:
            self._timer = self._clock.callLater(self._patience, self._time_out)
        return place

    def leave(self, channel: str) -> None:
        """Give a slot back, to the call whose turn it is."""
        self._free += 1
        inside = self._inside[channel] - 1
        if inside:
            self._inside[channel] = inside
        else:
            del self._inside[channel]
        if self._giving_out:
            # The call that got a slot just now is done with it already.  The loop below goes on:
            # a thousand of these inside each other are more than Python's stack takes.
            return
        self._giving_out = True
        try:
            while self._free > 0 and (following := self._next()) is not None:
                self.take(self._waiting[following].channel)
                self._forget(following)
                following.callback(None)
        finally:
            self._giving_out = False

    def _next(self) -> Deferred[None] | None:
        """The call whose turn it is; channel and address go to the end of their rounds."""
        # Few are passed over: only so many channels can have their share inside.
        for channel, queue in self._queues.items():
            if self._inside.get(channel, 0) < self._most_inside:
                address = next(iter(queue))
                # Before anything is taken out of either: they are put behind the others.
                self._queues[channel] = self._queues.pop(channel)
                queue[address] = places = queue.pop(address)
                return next(iter(places))
        return None

    def _forget(self, place: Deferred[None]) -> None:
        """`place` waits no longer.  Harmless when it does not."""
        waiting = self._waiting.pop(place, None)
        if waiting is None:
            return
        channel, queue = waiting.channel, self._queues[waiting.channel]
        self._waiting_of[channel] -= 1
        del queue[waiting.address][place]
        if not queue[waiting.address]:
            del queue[waiting.address]
        if not queue:
            del self._queues[channel], self._waiting_of[channel]
        if not self._waiting and self._timer is not None:
            timer, self._timer = self._timer, None
            timer.cancel()

    def _time_out(self) -> None:
        # One timer for all.  A thread that hangs never gives its slot back, so it is not
        # enough to look when slots change hands.
        self._timer = None
        oldest = self._clock.seconds() - self._patience
        late = []
        for place, waiting in self._waiting.items():
            if waiting.since > oldest:
                break
            late.append(place)
        for place in late:
            # One refusal may have made others leave, by their own callbacks.
            if place in self._waiting:
                self._forget(place)
                place.errback(AuthUnavailable("The app did not answer in time."))
        if self._waiting and self._timer is None:
            first = next(iter(self._waiting.values()))
            left = first.since + self._patience - self._clock.seconds()
            self._timer = self._clock.callLater(max(left, 0.0), self._time_out)
