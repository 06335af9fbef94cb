"""Watchlists: who has signed in is told which of some users are online.

The list stands in what the app has signed of a user, and is told of at the sign-in and whenever
one of its users signs in somewhere or has no connection any more, on whatever node.  Rule: who is
back within `GRACE` has not been offline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import attrs

from takotwist.core.deadlines import Deadline, Deadlines
from takotwist.facades.pusher.client import Client
from takotwist.facades.pusher.frames import frame

#: Seconds for which a user must have no connection.
GRACE = 3.0


def read_watchlist(user_data: dict[str, object]) -> tuple[str, ...]:
    """The users of a list, in what an app has signed; what is no user is left out."""
    listed = user_data.get("watchlist")
    users = listed if isinstance(listed, list) else []
    return tuple(dict.fromkeys(str(one) for one in users if isinstance(one, str | int)))


@attrs.define(slots=True, eq=False)
class Watchlists:
    """All of one app on this node.

    :ivar online: whether a user is, on whatever node.
    :ivar seconds: the clock of `deadlines`.
    """

    online: Callable[[str], bool]
    deadlines: Deadlines
    seconds: Callable[[], float]
    _watchers: dict[str, set[Client]] = attrs.field(factory=dict, init=False)
    #: Of users that are watched, what was told last.
    _told: dict[str, bool] = attrs.field(factory=dict, init=False)
    _waiting: dict[str, Deadline] = attrs.field(factory=dict, init=False)

    def watch(self, client: Client, users: Iterable[str]) -> None:
        """A connection is to be told of these, from now on."""
        for user in users:
            if user not in self._watchers:
                self._watchers[user] = set()
                self._told[user] = self.online(user)
            self._watchers[user].add(client)
        online = [user for user in users if self._told[user]]
        if online:
            client.tell(_events("online", online))

    def unwatch(self, client: Client, users: Iterable[str]) -> None:
        """Not any more."""
        for user in users:
            watchers = self._watchers.get(user)
            if watchers is not None:
                watchers.discard(client)
                if not watchers:
                    del self._watchers[user], self._told[user]
                    waiting = self._waiting.pop(user, None)
                    if waiting is not None:
                        waiting.cancel()

    def changed(self, user: str) -> None:
        """A user has signed in or gone, somewhere."""
        if user not in self._watchers:
            return
        waiting = self._waiting.pop(user, None)
        if waiting is not None:
            waiting.cancel()
        if self.online(user):
            self._tell(user)
        else:
            when = self.seconds() + GRACE
            self._waiting[user] = self.deadlines.at(when, lambda: self._tell(user))

    def __len__(self) -> int:
        """Users that somebody watches."""
        return len(self._watchers)

    def _tell(self, user: str) -> None:
        self._waiting.pop(user, None)
        online = self.online(user)
        if self._told[user] is not online:
            self._told[user] = online
            said = _events("online" if online else "offline", [user])
            for client in list(self._watchers[user]):
                client.tell(said)


def _events(name: str, users: Sequence[str]) -> bytes:
    events = [{"name": name, "user_ids": users}]
    return frame("pusher_internal:watchlist_events", {"events": events})
