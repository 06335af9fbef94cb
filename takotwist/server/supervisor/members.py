"""The places of the server, and the processes in them; the decisions about them are `Crew`'s."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from takotwist.server.supervisor.handing import Taker
from takotwist.server.supervisor.kinds import Kind
from takotwist.server.supervisor.place import Place


class Running(Protocol):
    """A process that was launched."""

    @property
    def pid(self) -> int:
        """Of the process."""

    @property
    def taker(self) -> Taker | None:
        """Its end of the handing over; `None` for a kind that takes no connections."""

    def send(self, **message: object) -> bool:
        """Send it a message."""

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""


class Launcher(Protocol):
    """Launches processes."""

    def __call__(
        self,
        kind: Kind,
        number: int,
        slot: int,
        received: Callable[[Mapping[str, object]], object],
        ended: Callable[[int], object],
    ) -> Running:
        """Launch one.

        :raises OSError: there is no room for one more.
        """


@attrs.define(slots=True, eq=False)
class Run:
    """One process in a place.

    :ivar told: it is to stop, and gets nothing more; `asked`: it was asked to.
    :ivar ready: it has said that it is.
    :ivar reloading: it was asked to read its configuration again and has not answered.
    """

    member: Member
    slot: int
    process: Running = attrs.field(init=False)
    told: bool = False
    asked: bool = False
    reloading: bool = False
    ready: bool = False
    timer: IDelayedCall | None = None

    def cancel(self) -> None:
        """Cancel what was to happen to it later."""
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        self.timer = None


@attrs.define(slots=True, eq=False)
class Member:
    """One place with its processes.

    :ivar run: the process that serves, or is to.
    :ivar successor: the one that is to replace it.
    :ivar leaving: those that were told to stop and have not ended.
    :ivar replaced: what a rolling restart waits for.
    """

    kind: Kind
    number: int
    place: Place = attrs.field(factory=Place)
    run: Run | None = None
    successor: Run | None = None
    leaving: list[Run] = attrs.field(factory=list)
    pause: IDelayedCall | None = None
    replaced: Deferred[bool] | None = None

    @property
    def label(self) -> str:
        """Its name."""
        return self.kind.label(self.number)

    @property
    def runs(self) -> list[Run]:
        """All its processes."""
        return [one for one in (self.run, self.successor, *self.leaving) if one is not None]

    def free_slot(self) -> int:
        """One that no process of this place has: each place has two."""
        taken = {one.slot for one in self.runs}
        first = self.number - 1
        return first if first not in taken else first + self.kind.count


def ended_how(code: int) -> str:
    """The end of a process in words, as they follow its name."""
    if code >= 0:
        return f"ended (exit code {code})"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
