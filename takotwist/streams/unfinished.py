"""Unfinished input (bodies, frames, lines): its least pace, and the bound on what is held.

A client that stops in the middle costs what it has sent, for as long as it is waited for.
So each input has a pace to keep: a least number of bytes in each window of time, which a
poor line does and a stalled one does not.  A rate over the whole time would let a client
send much at once and then stall for as long as that much may take.  And all of them share
one bound; past it the largest goes first, because it gives back most, and because who sends
what most clients send is then the last to suffer from the others.

Rule: what comes whole in one read is never here, so it costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from takotwist.streams.bounds import DEFAULT_SETTINGS, IOSettings
from takotwist.streams.unread import Unread

#: A timer that fires so many seconds late found a reactor that had no time to read either.
_LATE = 1.0

#: Two sums of the same seconds may differ in their last digit.
_SAME_MOMENT = 0.001


class Cut(Enum):
    """Why an input is not waited for any longer."""

    TOO_SLOW = "too-slow"
    OVERLOADED = "overloaded"


#: How a body is answered that is not waited for: status, sentence, headers.
REFUSED: Mapping[Cut, tuple[int, str, tuple[tuple[str, str], ...]]] = {
    Cut.TOO_SLOW: (408, "The request's body came too slowly.", ()),
    Cut.OVERLOADED: (
        503,
        "The server holds as much unfinished input as it takes.",
        (("Retry-After", "2"),),
    ),
}

#: How a WebSocket or a session is closed whose frame is not waited for; the reason is the
#: value of the cut (RFC 6455, section 7.4.1: try again later).
CLOSE_CODE = 1013


@attrs.define(slots=True, eq=False)
class Unfinished:
    """All unfinished input of a server, and one timer for it.

    :param on_cut: told of each that is cut.
    """

    _reactor: IReactorTime
    _settings: IOSettings = DEFAULT_SETTINGS
    _on_cut: Callable[[Cut], object] = lambda why: None
    #: The other way: answers that their readers do not take.
    answers: Unread = attrs.field(
        default=attrs.Factory(lambda self: Unread(self._reactor, self._settings), takes_self=True),
        init=False,
    )
    #: Bytes that are held now.
    held: int = attrs.field(default=0, init=False)
    #: In the order in which they are due, which is that of their windows.
    _due: dict[Incoming, float] = attrs.field(factory=dict, init=False)
    #: By the number of bits of their size, each in the order in which they came there.
    _sizes: dict[int, dict[Incoming, None]] = attrs.field(factory=dict, init=False)
    _timer: IDelayedCall | None = attrs.field(default=None, init=False)

    def begin(self, cut: Callable[[Cut], object]) -> Incoming:
        """An input begins; it must come on from now.

        :param cut: called where it is not waited for any longer.  It has ended then.
        """
        one = Incoming(self, cut)
        self._watch(one)
        return one

    @property
    def waited_for(self) -> int:
        """Number of inputs that have a pace to keep now."""
        return len(self._due)

    def _watch(self, one: Incoming) -> None:
        window = self._settings.limits.input_seconds
        one._came = 0
        self._due.pop(one, None)
        self._due[one] = self._reactor.seconds() + window
        if self._timer is None:
            self._timer = self._reactor.callLater(window, self._look)

    def _forget(self, one: Incoming) -> None:
        self._due.pop(one, None)
        if not self._due and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now, bounds = self._reactor.seconds(), self._settings.limits
        over = []
        for one, due in self._due.items():
            if due > now + _SAME_MOMENT:
                break
            over.append((one, due))
        for one, due in over:
            if one in self._due:
                late = now - due > _LATE
                if late or one._came >= bounds.input_rate * bounds.input_seconds:
                    self._watch(one)
                else:
                    one._cut_off(Cut.TOO_SLOW)
        if self._due and self._timer is None:
            self._timer = self._reactor.callLater(
                max(0.0, next(iter(self._due.values())) - now), self._look
            )

    def _resize(self, one: Incoming, held: int) -> None:
        before, after = one._held.bit_length(), held.bit_length()
        self.held += held - one._held
        one._held = held
        if before != after:
            if before:
                of_size = self._sizes[before]
                del of_size[one]
                if not of_size:
                    del self._sizes[before]
            if after:
                self._sizes.setdefault(after, {})[one] = None
        most = self._settings.limits.max_unfinished_bytes
        while self.held > most:
            next(iter(self._sizes[max(self._sizes)]))._cut_off(Cut.OVERLOADED)


@attrs.define(slots=True, eq=False)
class Incoming:
    """One input.  Made by `Unfinished.begin`; `end` it when it is whole, or gone."""

    _all: Unfinished
    _on_cut: Callable[[Cut], object] | None
    _held: int = attrs.field(default=0, init=False)
    #: Bytes that came in this window.
    _came: int = attrs.field(default=0, init=False)

    def holds(self, held: int) -> None:
        """So many bytes are held for it now; more than before is what has come."""
        if self._on_cut is not None:
            self._came += max(0, held - self._held)
            self._all._resize(self, held)

    def wait(self) -> None:
        """It is not read now, which is our wish: no time passes for it."""
        self._all._forget(self)

    def go_on(self) -> None:
        """It is read on.  Nothing where it did not wait."""
        if self._on_cut is not None and self not in self._all._due:
            self._all._watch(self)

    def end(self) -> None:
        """It is whole, or gone.  Harmless when repeated."""
        if self._on_cut is not None:
            self._on_cut = None
            self._all._forget(self)
            self._all._resize(self, 0)

    def _cut_off(self, why: Cut) -> None:
        cut = self._on_cut
        assert cut is not None
        self.end()
        self._all._on_cut(why)
        cut(why)
