"""Services that all sessions share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import attrs

from takotwist.core.deadlines import Deadlines
from takotwist.core.limits import ConnectionLimits, LimitSettings, TopicNames
from takotwist.core.tail import Item
from takotwist.flow.attach import Attacher
from takotwist.flow.authorize import Authorized, AuthorizerService
from takotwist.flow.channel_states import ChannelStates
from takotwist.flow.client_frames import ClientFrames
from takotwist.flow.presence import PresenceService
from takotwist.flow.publish import PublisherService
from takotwist.flow.publish_grant import PublishGrant
from takotwist.flow.topic_request import TopicRequest
from takotwist.ports import IAuthorizer


class SessionBounds(Protocol):
    """Bounds of one session, named and explained in the configuration."""

    @property
    def max_subscriptions_per_connection(self) -> int: ...


@attrs.define(slots=True, eq=False)
class SessionServices:
    """The server, as far as a session needs it.

    :ivar settings: for the number of topics that one connection may follow.
    :ivar names: of the topics of all connections.
    :ivar seconds: the clock of the deadlines.
    :ivar wall: unix time in seconds.
    :ivar random: a number from 0 to 1, for spreading.
    :ivar states: as the app gives them.
    """

    limits: ConnectionLimits
    settings: LimitSettings[SessionBounds]
    names: TopicNames
    attacher: Attacher
    publishing: PublisherService
    authorizing: AuthorizerService
    authorizer: IAuthorizer
    presence: PresenceService
    deadlines: Deadlines
    seconds: Callable[[], float]
    wall: Callable[[], float]
    random: Callable[[], float]
    states: ChannelStates

    def way_in(
        self, admitted: Authorized, address: str, on_full: Callable[[bool], None]
    ) -> ClientFrames:
        """The way in for what a client sends on one topic.

        :param address: of the client.
        """
        return ClientFrames(
            admitted.asked,
            address,
            PublishGrant(admitted, self.authorizing, self.wall),
            self.authorizer,
            self.authorizing,
            self.publishing,
            on_full,
        )

    def state_of(self, asked: TopicRequest) -> Callable[[int], Awaitable[Item]] | None:
        """The way to the state of a topic of a channel that has one; a roster has none."""
        if asked.roster:
            return None
        return partial(self.states.at, asked)
