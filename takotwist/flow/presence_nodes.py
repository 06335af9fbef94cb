"""Roster entries of dead nodes, and the election of the node that ends them.

Which nodes had members is in the log (`flow.presence_store`), and which are there is known from
outside: those of a server with workers are counted, and where nodes come and go they say that
they are alive.  One that was taken for dead and was not finds that out by the same list, and
stores its members anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

import attrs
from twisted.internet.defer import ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.core.roster_messages import ended
from takotwist.errors import Refusal
from takotwist.flow.presence_store import RosterStore

#: Seconds after which what nodes that are gone have left is looked for.
LEFT_SECONDS = 10.0

Living = Callable[[], Awaitable[Collection[str] | None]]


@attrs.define(slots=True, eq=False)
class DeadNodes:
    """Ends what other nodes have left.

    :ivar node: and `nodes`, `living`: see `PresenceService`.
    :ivar later: calls a function after so many seconds.
    :ivar say_again: called where another took this node for dead, and has ended what it had
        stored.
    """

    store: RosterStore
    node: str
    nodes: Collection[str] | None
    living: Living | None
    later: Callable[..., object]
    say_again: Callable[[], None]
    #: Nodes that had members and were not there at the last look.
    _away: set[str] = attrs.field(factory=set, init=False)
    #: The log names this one among those that have members, or is about to.
    _noted: bool = attrs.field(default=False, init=False)
    _stopped: bool = attrs.field(default=False, init=False)
    _logger: Logger = attrs.field(factory=Logger, init=False)

    def start(self) -> None:
        """Look from time to time, where this node is to."""
        if self.nodes is not None or self.living is not None:
            # Their members have the grace too, to come to one that is there.
            self.later(LEFT_SECONDS, self._look)

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True

    def restored(self) -> None:
        """The log had members of this node's earlier run."""
        # Else nobody would have noticed that it is there after it was taken for dead.
        self._noted = self.living is not None

    def note(self) -> None:
        """This node has members: have the log know that there is such a node."""
        if not self._noted:
            self._noted = True
            self.store.note(self.node, there=True).addErrback(self._not_noted)

    def _look(self) -> None:
        ensureDeferred(self._end_left()).addErrback(self._not_ended)

    async def _end_left(self) -> None:
        there = self.nodes if self.living is None else await self.living()
        if there is not None:
            away = (await self._noted_nodes()).difference(there)
            if self.living is not None:
                # At two looks, so that their members had the grace; and one node is enough.
                before, self._away = self._away, away
                away = away & before if self.node == min(there, default=None) else set()
            for node in sorted(away):
                if not self._stopped:
                    await self.take_over(node, lambda: not self._stopped)
                    await self.store.note(node, there=False)
        if self.living is not None and not self._stopped:
            self.later(LEFT_SECONDS, self._look)

    async def _noted_nodes(self) -> set[str]:
        noted = await self.store.noted()
        if self.living is not None and self._noted and self.node not in noted:
            self._noted = False
            self.say_again()
        return noted

    def _not_noted(self, failure: Failure) -> None:
        self._noted = False

    def _not_ended(self, failure: Failure) -> None:
        if not failure.check(Refusal):
            self._logger.failure("ending what a node has left failed", failure)
        if not self._stopped:
            self.later(LEFT_SECONDS, self._look)

    async def take_over(self, node: str, is_gone: Callable[[], bool]) -> int:
        """End what a node that is gone has left in rosters, unless it has come back by then.

        Two nodes that find out at once do no harm: what is ended twice has ended once.

        :param is_gone: asked for each roster.
        :return: how many entries were ended.
        :raises StoreUnavailable: not all could be; try again.
        """
        number = 0
        for topic in await self.store.indexed(node):
            left = await self.store.entries(topic, node)
            if not is_gone():
                return number
            changes = [ended(entry) for entry in left]
            lifecycle = self.store.lifecycle(topic.channel)
            if changes:
                self.store.tell(topic, changes)
                await self.store.append(topic, changes, lifecycle)
                number += len(changes)
            await self.store.index(node, topic, there=False)
        return number
