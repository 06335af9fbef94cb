"""The state of a topic, from the events of a subscription that begins with it.

::

    view = StateView(lambda total, message: total + message.data, 0)
    async with subscribe(url, "sum", cursor="newest") as events:
        async for event in events:
            print(view.take(event))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import attrs

from takotwist.client.events import SYNCED, Event, Message, Reset
from takotwist.core.authorization import STATE

S = TypeVar("S")


@attrs.define(slots=True, eq=False)
class StateView(Generic[S]):
    """The state, as far as events have said.

    :ivar reducer: gives the state after a message; it makes a new one or changes the old.  Not
        called for the state that the app gives, which is taken as it is.
    :ivar initial: makes the state until something of it is there, where it is callable.
    :ivar state: as it is now.
    :ivar synced: it is whole: all that was there at the beginning is in it.
    """

    reducer: Callable[[S, Message], S]
    initial: S | Callable[[], S]
    state: S = attrs.field(init=False)
    synced: bool = attrs.field(default=False, init=False)

    @state.default
    def _begin(self) -> S:
        initial: Any = self.initial
        made: S = initial() if callable(initial) else initial
        return made

    def take(self, event: Event) -> S:
        """The next event of the subscription; the state after it."""
        if isinstance(event, Reset):
            # What comes now is the state from its beginning.
            self.state, self.synced = self._begin(), False
        elif event.type == SYNCED:
            self.synced = True
        elif event.type == STATE:
            given: Any = event.data
            self.state = given
        else:
            self.state = self.reducer(self.state, event)
        return self.state
