"""What every client machine is: facts in, intents out, one `Link` inside.

Knows neither sockets nor clocks; the skins do.  Facts are methods in the past
tense; after each a skin takes `intents()` and looks at `wake_at`.  Rule: `now` is
an argument, in milliseconds of one monotonic clock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import attrs

from takotwist.client.machine.intents import Drop, Intent
from takotwist.client.machine.link import Due, Link, State
from takotwist.client.machine.outcome import CUT, SILENT, Action, Outcome, of_close
from takotwist.errors import TakoError


def earliest(*times: float | None) -> float | None:
    """The first of `times`, of which some may be never."""
    return min((time for time in times if time is not None), default=None)


@attrs.define(slots=True)
class Machine(ABC):
    """A connection that comes back, and what is made of it.

    :ivar link: when to connect, to ping and to give up.
    """

    link: Link
    _intents: list[Intent] = attrs.field(factory=list, init=False)

    def intents(self) -> list[Intent]:
        """What is to be done now, in order; each is given out once."""
        taken, self._intents = self._intents, []
        return taken

    @property
    def wake_at(self) -> float | None:
        """When to call `woke`, or `None`."""
        return self.link.wake_at

    def woke(self, now: float) -> None:
        """Time has passed.  Harmless when it is too early."""
        while (due := self.link.due(now)) is not Due.NOTHING:
            if due is Due.CONNECT:
                self._connect(now)
            elif due is Due.PING:
                self._ping()
            else:
                self._intents.append(Drop())
                self._ended(SILENT, now)

    def heard(self, now: float) -> None:
        """Anything came that has no fact of its own, such as a ping."""
        self.link.heard(now)

    def paused(self) -> None:
        """The caller does not read, so neither do we."""
        self.link.paused()

    def resumed(self, now: float) -> None:
        """The caller reads again."""
        self.link.resumed(now)

    def answered(self, outcome: Outcome, now: float) -> None:
        """An HTTP answer came, to the request or in place of an upgrade."""
        self._ended(outcome, now)

    def lost(self, now: float, why: str = "") -> None:
        """The connection was cut, or could not be made.

        :param why: in words for a person, where more is known.
        """
        self._ended(attrs.evolve(CUT, sentence=why) if why else CUT, now)

    def closed_by_peer(self, close_code: int, reason: str, now: float) -> None:
        """The WebSocket was closed."""
        self._ended(of_close(close_code, reason), now)

    def failed(self, outcome: Outcome, now: float) -> None:
        """The connection could not even be tried."""
        self._ended(outcome, now)

    def broke(self, error: TakoError, now: float) -> None:
        """The server sent what it may not.

        :param now: time.
        """
        self._drop()
        if self.link.state is State.CONNECTING:
            # Before the server said that it is there, nothing says that it was the server.
            self._ended(Outcome(Action.BACKOFF, "protocol-broken", str(error)), now)
        else:
            self._stop(error)

    def _drop(self) -> None:
        if self.link.state in (State.CONNECTING, State.OPEN):
            self._intents.append(Drop())

    @abstractmethod
    def _connect(self, now: float) -> None:
        """Open a connection."""

    @abstractmethod
    def _ping(self) -> None:
        """Ask whether the server is there."""

    @abstractmethod
    def _ended(self, outcome: Outcome, now: float) -> None:
        """The connection is over."""

    @abstractmethod
    def _stop(self, error: TakoError | None) -> None:
        """Everything is over."""
