"""Unread answers: their idle timeout, and the bound on what waits in all.

An answer that is written whole, and a stream up to where its writer pauses, is held until
its reader takes it, who may never do.  So a reader takes something now and then, however
little, or is dropped; and all that waits shares one bound.  Past it those who have the most
waiting go first, and more of them than need be, so that it is not looked for again at once.

Rule: what is taken within a moment is never here; who writes says only when much waits.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from takotwist.streams.bounds import DEFAULT_SETTINGS, IOSettings

#: An answer of which less waits is not watched.
WATCHED_FROM = 16 * 1024

#: Looks at all that waits in the time that a reader has.
LOOKS = 4

#: Of the bound, what is left after it was reached.
_LEFT = 7 / 8


@attrs.define(slots=True, eq=False)
class Waiting:
    """One answer.  Made by `Unread.watch`.

    :ivar held: bytes, as last measured.
    """

    measure: Callable[[], int]
    _on_cut: Callable[[], object]
    held: int
    #: When it was last seen to be taken.
    moved_at: float


@attrs.define(slots=True, eq=False)
class Unread:
    """All of a server, and one timer for them."""

    _reactor: IReactorTime
    _settings: IOSettings = DEFAULT_SETTINGS
    #: Bytes that wait, as last measured.
    held: int = attrs.field(default=0, init=False)
    _all: dict[Waiting, None] = attrs.field(factory=dict, init=False)
    _timer: IDelayedCall | None = attrs.field(default=None, init=False)
    _room: IDelayedCall | None = attrs.field(default=None, init=False)
    _looked_at: float = attrs.field(default=0.0, init=False)
    _looks_after: float = attrs.field(default=0.0, init=False)

    def watch(self, measure: Callable[[], int], cut: Callable[[], object]) -> Waiting:
        """Much has been written, and waits.

        :param measure: how many bytes wait now; at 0 it is watched no longer.
        :param cut: drops the reader.
        """
        now = self._reactor.seconds()
        one = Waiting(measure, cut, measure(), now)
        self._all[one] = None
        self.held += one.held
        if self._timer is None:
            self._looked_at = now
            self._next_look()
        if self.held > self._settings.limits.max_unread_bytes and self._room is None:
            # Not now: whoever writes is in the middle of it.
            self._room = self._reactor.callLater(0, self._make_room)
        return one

    def forget(self, one: Waiting) -> None:
        """It was taken, or its reader has gone.  Harmless when repeated."""
        if one in self._all:
            del self._all[one]
            self.held -= one.held
            if not self._all and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def __contains__(self, one: Waiting) -> bool:
        return one in self._all

    def _next_look(self) -> None:
        self._looks_after = self._settings.limits.unread_seconds / LOOKS
        self._timer = self._reactor.callLater(self._looks_after, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._reactor.seconds()
        # A timer that comes late found a reactor that had no time to write either.
        late = now - self._looked_at - self._looks_after
        self._looked_at = now
        self._measure(now)
        for one in list(self._all):
            if late > 1:
                one.moved_at += late
            # The sum of the looks may differ from the whole in its last digit.
            if now - one.moved_at > self._settings.limits.unread_seconds - 0.001:
                self._cut(one)
        if self._all and self._timer is None:
            self._next_look()

    def _measure(self, now: float) -> None:
        for one in list(self._all):
            held = one.measure()
            if not held:
                self.forget(one)
                continue
            if held < one.held:
                one.moved_at = now
            self.held += held - one.held
            one.held = held

    def _make_room(self) -> None:
        self._room = None
        self._measure(self._reactor.seconds())
        most = self._settings.limits.max_unread_bytes
        if self.held <= most:
            return
        for one in sorted(self._all, key=lambda one: one.held, reverse=True):
            self._cut(one)
            if self.held <= most * _LEFT:
                return

    def _cut(self, one: Waiting) -> None:
        if one in self._all:
            self.forget(one)
            one._on_cut()
