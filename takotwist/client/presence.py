"""Member list built from the events of a roster (``subscribe(..., presence=True)``).

::

    roster = Roster()
    async with subscribe(url, "chat", params={"roomId": "a"}, presence=True) as events:
        async for event in events:
            change = roster.take(event)
            print(change, sorted(roster.members))
"""

from __future__ import annotations

from typing import Literal

import attrs
import msgspec

from takotwist.client.events import SYNCED, Event, Reset
from takotwist.core.json_values import Json
from takotwist.core.roster_messages import ROSTER_TYPES
from takotwist.core.roster_view import View


@attrs.frozen(slots=True)
class Member:
    """One who is here.

    :ivar info: what the app says of them, and `state` what they say of themselves; `None`
        where nothing was said.
    :ivar since: when they came, unix time in seconds.
    """

    subject: str
    info: Json
    state: Json
    since: float


@attrs.frozen(slots=True)
class Change:
    """Change that an event made to the list.

    :ivar member: of a leave, as they were last.
    """

    kind: Literal["join", "update", "leave"]
    member: Member


@attrs.define(slots=True, eq=False)
class Roster:
    """The list, as far as events have said.

    :ivar members: by subject.
    :ivar synced: it is whole: all who were there at the beginning have been named.
    """

    members: dict[str, Member] = attrs.field(factory=dict, init=False)
    synced: bool = attrs.field(default=False, init=False)
    _view: View = attrs.field(factory=View, init=False)

    @property
    def guests(self) -> int:
        """Connections that are no members."""
        return self._view.count

    def take(self, event: Event) -> Change | None:
        """The next event of the subscription; what it changes, if it does."""
        if isinstance(event, Reset):
            # What comes now is the list from its beginning.
            self._view = View()
            self.members.clear()
            self.synced = False
            return None
        if event.type == SYNCED:
            self.synced = True
            return None
        if event.type not in ROSTER_TYPES:
            return None
        change = self._view.apply(int(event.id), event.type, msgspec.json.encode(event.data))
        if change is None:
            return None
        kind, subject = change
        if kind == "leave":
            return Change("leave", self.members.pop(subject))
        said = self._view.newest(subject)
        info, state = [
            None if value is None else msgspec.json.decode(value)
            for value in (said.info, said.state)
        ]
        member = Member(subject, info, state, said.since / 1000)
        if self.members.get(subject) == member:
            return None
        self.members[subject] = member
        return Change("join" if kind == "join" else "update", member)
