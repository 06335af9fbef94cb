"""Carries out what a machine wants, on whatever loop.

What the skins share; each adds connections, a timer and its kind of future.
Rule: intents are carried out here and decided nowhere here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import attrs

from takotwist.client.credentials import Credentials
from takotwist.client.errors import Gone
from takotwist.client.inbox import Inbox
from takotwist.client.intents import (
    AskCredentials,
    AskGone,
    Connect,
    Deliver,
    Drop,
    Intent,
    Move,
    Send,
    Settle,
    Stop,
)
from takotwist.client.machine import Machine
from takotwist.client.policy import OnGone, Policy
from takotwist.client.target import Target

#: The kind of machine that is driven.
M = TypeVar("M", bound=Machine)

#: What a caller wants when continuity ends: a word, or a callable that gets the
#: `Gone` and gives the cursor to go on from, or `None` for live; it may be awaited.
GoneChoice = OnGone | Callable[[Gone], Any]


def mode_of(choice: GoneChoice) -> OnGone:
    """:raises ValueError: when it is none of the choices."""
    if callable(choice):
        return "ask"
    if choice not in ("reset", "raise"):
        raise ValueError("on_gone must be 'reset', 'raise' or a callable")
    return choice


class Line(Protocol):
    """One connection, or the attempt at one."""

    def send(self, text: str) -> None:
        """Send a text frame."""

    def cut(self) -> None:
        """Close it, whatever it is doing, and say nothing more of it."""


@attrs.define(eq=False)
class Seat:
    """One subscription as its driver sees it.

    :ivar news: called when there is something to take.
    :ivar publishes: futures of the loop's own kind, by number.
    """

    inbox: Inbox
    credentials: Credentials
    on_gone: GoneChoice
    news: Callable[[], None]
    publishes: dict[int, Any] = attrs.field(factory=dict)


@attrs.define(eq=False)
class Driver(ABC, Generic[M]):
    """See the module.

    :ivar machine: what is driven.
    :ivar seats: subscriptions by number; one with number 0 where there is only one.
    """

    machine: M
    policy: Policy
    target: Target
    ca_file: str | None = None
    seats: dict[int, Seat] = attrs.field(factory=dict)
    _line: Line | None = attrs.field(default=None, init=False)
    _pumping: bool = attrs.field(default=False, init=False)

    def pump(self) -> None:
        """Carry out what the machine wants."""
        # A caller who is woken within may publish within; what follows from that
        # comes after the intents that are under way.
        if self._pumping:
            return
        self._pumping = True
        try:
            while intents := self.machine.intents():
                for intent in intents:
                    self._carry_out(intent)
        finally:
            self._pumping = False
        self.set_timer(self.machine.wake_at)

    def woke(self) -> None:
        """The timer has come."""
        self.machine.woke(self.now())
        self.pump()

    @property
    def crowded(self) -> bool:
        """Whether nothing more should be read.  Never while a publish waits for its answer,
        which may be behind the messages: a caller that waits for it would wait forever."""
        return any(seat.inbox.full and not seat.publishes for seat in self.seats.values())

    def took(self, seat: Seat) -> None:
        """A caller took an event."""
        if seat.inbox.drained:
            self.made_room()

    def give_up_all(self, error: Exception) -> None:
        """Something failed that is not the network's doing and would fail again."""
        for topic in list(self.seats):
            self.give_up(topic, error)

    @abstractmethod
    def now(self) -> float:
        """The machine's time."""

    @abstractmethod
    def set_timer(self, at: float | None) -> None:
        """Call `woke` at this time of the machine, and at no other."""

    @abstractmethod
    def open_line(self, connect: Connect) -> Line:
        """Begin a connection."""

    @abstractmethod
    def made_room(self) -> None:
        """Look again whether reading may go on."""

    @abstractmethod
    def resolve(self, future: Any, id: str | None, error: Exception | None) -> None:
        """A publish has its outcome."""

    @abstractmethod
    def ask_credentials(self, topic: int) -> None:
        """Ask for a topic's credentials and tell the machine."""

    @abstractmethod
    def ask_gone(self, gone: Gone, topic: int, choice: Callable[[Gone], Any]) -> None:
        """Ask the app and tell the machine."""

    @abstractmethod
    def give_up(self, topic: int, error: Exception) -> None:
        """The caller's own callable failed: that subscription is over."""

    def _carry_out(self, intent: Intent) -> None:
        match intent:
            case Connect():
                self._line = self.open_line(intent)
            case Drop():
                line, self._line = self._line, None
                if line is not None:
                    line.cut()
            case Send(text):
                if self._line is not None:
                    self._line.send(text)
            case Settle(number, id, error):
                for seat in self.seats.values():
                    if number in seat.publishes:
                        self.resolve(seat.publishes.pop(number), id, error)
            case AskCredentials(topic):
                self.ask_credentials(topic)
            case AskGone(gone, topic):
                choice = self.seats[topic].on_gone if topic in self.seats else None
                if isinstance(gone, Gone) and callable(choice):
                    self.ask_gone(gone, topic, choice)
            case Deliver() | Move() | Stop():
                self._for_seat(intent)

    def _for_seat(self, intent: Deliver | Move | Stop) -> None:
        seat = self.seats.get(intent.topic)
        if seat is None:
            return
        match intent:
            case Deliver(event, cursor):
                seat.inbox.put(event, cursor)
            case Move(cursor):
                seat.inbox.move(cursor)
            case Stop(error):
                seat.inbox.end(error)
                self.made_room()
        seat.news()
