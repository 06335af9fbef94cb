"""Followers of the channels of one app on this process: connections, and members by user.

Pure: nothing here sends.  A member is a user whatever number of connections it has: the first
makes it one, and the last takes it away.  Rule: a channel that nobody follows has no entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

import attrs
import msgspec

C = TypeVar("C")


@attrs.define(slots=True, eq=False)
class Member(Generic[C]):
    """One user in a presence channel.

    :ivar info: JSON, as the app has signed it.
    """

    user_id: str
    info: bytes
    connections: set[C] = attrs.field(factory=set)


@attrs.define(slots=True, eq=False)
class Followed(Generic[C]):
    """One channel that somebody follows.

    :ivar connections: in the order in which they came.
    """

    connections: dict[C, str | None] = attrs.field(factory=dict)
    members: dict[str, Member[C]] = attrs.field(factory=dict)


@attrs.frozen(slots=True)
class Change:
    """Change made by a connection that comes or goes.

    :ivar vacated: nobody follows the channel any more.
    :ivar member: who has joined or left by it.
    """

    vacated: bool = False
    member: Member[object] | None = None


@attrs.define(slots=True, eq=False)
class Roster(Generic[C]):
    """All channels of an app."""

    _by_name: dict[str, Followed[C]] = attrs.field(factory=dict, init=False)

    def enter(
        self, name: str, connection: C, user_id: str | None = None, info: bytes = b"null"
    ) -> Change:
        """A connection follows a channel from now on.

        :param user_id: in a presence channel.
        """
        followed = self._by_name.get(name)
        if followed is None:
            followed = self._by_name[name] = Followed()
        followed.connections[connection] = user_id
        joined: Member[C] | None = None
        if user_id is not None:
            member = followed.members.get(user_id)
            if member is None:
                member = joined = followed.members[user_id] = Member(user_id, info)
            member.connections.add(connection)
        return Change(member=joined)  # type: ignore[arg-type]

    def leave(self, name: str, connection: C) -> Change:
        """It does so no longer.  Harmless where it did not."""
        followed = self._by_name.get(name)
        if followed is None or connection not in followed.connections:
            return Change()
        user_id = followed.connections.pop(connection)
        left: Member[C] | None = None
        if user_id is not None:
            member = followed.members[user_id]
            member.connections.discard(connection)
            if not member.connections:
                left = followed.members.pop(user_id)
        if not followed.connections:
            del self._by_name[name]
        return Change(vacated=not followed.connections, member=left)  # type: ignore[arg-type]

    def get(self, name: str) -> Followed[C]:
        """A channel; an empty one where nobody follows it."""
        return self._by_name.get(name) or Followed()

    def items(self) -> Iterator[tuple[str, Followed[C]]]:
        """All that are followed."""
        return iter(self._by_name.items())

    def names(self) -> Iterable[str]:
        """Channels that are followed."""
        return self._by_name.keys()

    def members(self) -> Iterator[tuple[str, str]]:
        """Channels and their members."""
        for name, followed in self._by_name.items():
            for user_id in followed.members:
                yield name, user_id

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __len__(self) -> int:
        return len(self._by_name)


def info_of(channel_data: Mapping[str, object], key: str) -> bytes:
    """The information that a member shows of itself, as JSON."""
    return msgspec.json.encode(channel_data.get(key))
