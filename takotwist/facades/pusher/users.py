"""The users of one app who have signed in, and their connections, on whatever node."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import attrs

from takotwist.core.deadlines import Deadlines
from takotwist.errors import VerifyRejected
from takotwist.facades.pusher.nodes import Terminate
from takotwist.facades.pusher.watchlists import Watchlists

if TYPE_CHECKING:
    from takotwist.facades.pusher.nodes import OtherNodes
    from takotwist.facades.pusher.speaker import PusherSpeaker


@attrs.define(slots=True, eq=False)
class Users:
    """Those of one app.

    :ivar seconds: the clock of `deadlines`.
    :ivar others: the other nodes; `None` where there are none.
    :ivar watchlists: who is told of them.
    """

    deadlines: Deadlines
    seconds: Callable[[], float]
    others: OtherNodes | None = attrs.field(default=None, init=False)
    watchlists: Watchlists = attrs.field(init=False)
    _here: dict[str, set[PusherSpeaker]] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.watchlists = Watchlists(self.online, self.deadlines, self.seconds)

    def online(self, user_id: str) -> bool:
        """Whether a user has signed in, on whatever node."""
        return user_id in self._here or (self.others is not None and self.others.online(user_id))

    def here(self) -> Collection[str]:
        """Those with connections on this node."""
        return self._here.keys()

    def signed_in(self, user_id: str, speaker: PusherSpeaker) -> None:
        """A connection is this user's."""
        self._here.setdefault(user_id, set()).add(speaker)
        self._changed(user_id)

    def signed_out(self, user_id: str, speaker: PusherSpeaker) -> None:
        """It has gone."""
        of_user = self._here.get(user_id)
        if of_user is not None:
            of_user.discard(speaker)
            if not of_user:
                del self._here[user_id]
                self._changed(user_id)

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
        for speaker in list(self._here.get(user_id, ())):
            speaker.end(VerifyRejected("The app has ended the connections of this user."))
