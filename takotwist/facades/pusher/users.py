"""The users of one app who have signed in, and their connections, on whatever node."""

from __future__ import annotations

from collections.abc import Callable, Collection

import attrs

from takotwist.core.deadlines import Deadlines
from takotwist.errors import VerifyRejected
from takotwist.facades.pusher.client import Client
from takotwist.facades.pusher.nodes import OtherNodes, Terminate
from takotwist.facades.pusher.watchlists import Watchlists


@attrs.define(slots=True, eq=False)
class Users:
    """Those of one app.

    :ivar seconds: the clock of `deadlines`.
    :ivar others: the other nodes; `None` where there are none.
    :ivar watchlists: who is told of them.
    """

    deadlines: Deadlines
    seconds: Callable[[], float]
    others: OtherNodes | None
    watchlists: Watchlists = attrs.field(init=False)
    _here: dict[str, set[Client]] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.watchlists = Watchlists(self.online, self.deadlines, self.seconds)

    def online(self, user_id: str) -> bool:
        """Tell whether a user has signed in, on whatever node."""
        return user_id in self._here or (self.others is not None and self.others.online(user_id))

    def here(self) -> Collection[str]:
        """Those with connections on this node."""
        return self._here.keys()

    def signed_in(self, user_id: str, client: Client) -> None:
        """A connection is this user's."""
        self._here.setdefault(user_id, set()).add(client)
        self._changed(user_id)

    def signed_out(self, user_id: str, client: Client) -> None:
        """It has gone."""
        of_user = self._here.get(user_id)
        if of_user is not None:
            of_user.discard(client)
            if not of_user:
                del self._here[user_id]
                self._changed(user_id)

    def elsewhere_changed(self, user_id: str) -> None:
        """A user has signed in on another node, or gone there."""
        self.watchlists.changed(user_id)

    def _changed(self, user_id: str) -> None:
        self.watchlists.changed(user_id)
        if self.others is not None:
            self.others.user_changed(user_id)

    def terminate(self, user_id: str) -> None:
        """End the connections of a user, on whatever node."""
        self.terminate_here(user_id)
        if self.others is not None:
            self.others.say(Terminate(self.others.node, user_id))

    def terminate_here(self, user_id: str) -> None:
        """End those on this node."""
        for client in list(self._here.get(user_id, ())):
            client.end(VerifyRejected("The app has ended the connections of this user."))
