"""Base of the client's state machines: facts in, intents out, one `Link` inside.

Knows neither sockets nor clocks; the I/O adapters do.  Facts are methods in the past
tense; after each an adapter takes `intents()` and looks at `wake_at`.  Rule: `now` is an
argument, in milliseconds of one monotonic clock.

Intents are the machine's only way to the world: imperative, frozen, in order.  An adapter
carries them out and reports facts back.  Rule: an intent needs no decision of the adapter;
if it did, it belongs in the machine, where the vectors reach it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import attrs

from takotwist.client.events import Event
from takotwist.client.machine.link import Due, Link, State
from takotwist.client.machine.outcome import CUT, SILENT, Action, Outcome, of_close
from takotwist.errors import TakoError

Carrier = Literal["sse", "websocket", "mux"]


@attrs.frozen(slots=True)
class Connect:
    """Open a connection, with credentials asked for anew.

    :ivar cursor: goes into ``Last-Event-ID``, the query or the auth frame.
    :ivar stale_reset: whether to ask with ``stale=reset``.
    """

    carrier: Carrier
    cursor: str | None = None
    stale_reset: bool = False


@attrs.frozen(slots=True)
class Drop:
    """Cut the connection, or the attempt at one; report nothing more of it."""


@attrs.frozen(slots=True)
class Send:
    """Send one text frame."""

    text: str = attrs.field(repr=False)


@attrs.frozen(slots=True)
class Deliver:
    """Hand an event to the caller.

    :ivar cursor: the cursor of one who has seen it.
    :ivar topic: number of the topic, on a multiplexed connection.
    """

    event: Event
    cursor: str | None
    topic: int = 0


@attrs.frozen(slots=True)
class Move:
    """The cursor moved without a message."""

    cursor: str
    topic: int = 0


@attrs.frozen(slots=True)
class Settle:
    """A publish has its outcome.

    :ivar number: what the machine gave for it.
    :ivar id: the stored message's id; `None` where nobody said one.
    :ivar error: why it failed, or `None`.
    """

    number: int
    id: str | None = None
    error: TakoError | None = None


@attrs.frozen(slots=True)
class AskGone:
    """Ask the app where to go on, and answer with `gone_answered`."""

    error: TakoError
    topic: int = 0


@attrs.frozen(slots=True)
class AskCredentials:
    """Ask for a topic's credentials, and answer with `credentials_given`."""

    topic: int


@attrs.frozen(slots=True)
class Stop:
    """The subscription is over.

    :ivar error: `None` where the caller closed it.
    """

    error: TakoError | None
    topic: int = 0


Intent = Connect | Drop | Send | Deliver | Move | Settle | AskGone | AskCredentials | Stop


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
        """The intents of this moment, in order; each is given out once."""
        taken, self._intents = self._intents, []
        return taken

    @property
    def wake_at(self) -> float | None:
        """Time at which to call `woke`, or `None`."""
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
