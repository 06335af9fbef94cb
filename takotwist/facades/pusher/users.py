"""The users of one app who have signed in, and their connections, on whatever node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from takotwist.errors import VerifyRejected
from takotwist.facades.pusher.nodes import Terminate

if TYPE_CHECKING:
    from takotwist.facades.pusher.nodes import OtherNodes
    from takotwist.facades.pusher.speaker import PusherSpeaker


@attrs.define(slots=True, eq=False)
class Users:
    """Those of one app.

    :ivar others: the other nodes; `None` where there are none.
    """

    others: OtherNodes | None = attrs.field(default=None, init=False)
    _here: dict[str, set[PusherSpeaker]] = attrs.field(factory=dict, init=False)

    def signed_in(self, user_id: str, speaker: PusherSpeaker) -> None:
        """A connection is this user's."""
        self._here.setdefault(user_id, set()).add(speaker)

    def signed_out(self, user_id: str, speaker: PusherSpeaker) -> None:
        """It has gone."""
        of_user = self._here.get(user_id)
        if of_user is not None:
            of_user.discard(speaker)
            if not of_user:
                del self._here[user_id]

    def terminate(self, user_id: str) -> None:
        """End the connections of a user, on whatever node."""
        self.terminate_here(user_id)
        if self.others is not None:
            self.others.say(Terminate(self.others.node, user_id))

    def terminate_here(self, user_id: str) -> None:
        """End those on this node."""
        for speaker in list(self._here.get(user_id, ())):
            speaker.end(VerifyRejected("The app has ended the connections of this user."))
