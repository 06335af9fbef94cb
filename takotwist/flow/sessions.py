"""All sessions: connection slots for new ones, and the services that they use.

Rule: a place is taken before the app is asked, and given back exactly once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator
from functools import partial
from typing import Protocol

import attrs
from twisted.logger import Logger

from takotwist.core.deadlines import Deadlines
from takotwist.core.limits import ConnectionLimits, LimitSettings, TopicNames
from takotwist.core.metrics import Metrics
from takotwist.core.send_queue import SendQueue
from takotwist.core.tail import Item
from takotwist.errors import Refusal
from takotwist.flow.attach import Attacher
from takotwist.flow.authorize import Authorized, AuthorizerService
from takotwist.flow.channel_states import ChannelStates
from takotwist.flow.client_frames import ClientFrames
from takotwist.flow.presence import PresenceService
from takotwist.flow.publish import PublisherService
from takotwist.flow.publish_grant import PublishGrant
from takotwist.flow.session import Session
from takotwist.flow.topic_request import TopicRequest
from takotwist.ports import IAuthorizer

#: Most characters of a subject in the log.
SHOWN_SUBJECT = 64

_ENDED = "{kind} {connection} from {address} ended after {seconds:.1f} s: {why}"
_ENDED_OF = "{kind} {connection} from {address} ({subject}) ended after {seconds:.1f} s: {why}"


class SessionBounds(Protocol):
    """Bounds of one session, named and explained in the configuration."""

    @property
    def max_subscriptions_per_connection(self) -> int: ...


@attrs.define(slots=True)
class Sessions:
    """All connections.

    :ivar settings: for the number of topics that one connection may follow.
    :ivar names: of the topics of all connections.
    :ivar seconds: the clock of the deadlines.
    :ivar wall: unix time in seconds.
    :ivar random: a number from 0 to 1, for spreading.
    :ivar new_id: a fresh name for a connection.
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
    metrics: Metrics
    seconds: Callable[[], float]
    wall: Callable[[], float]
    random: Callable[[], float]
    new_id: Callable[[], str]
    states: ChannelStates
    _open: dict[Session, None] = attrs.field(factory=dict, init=False)
    _logger: Logger = attrs.field(factory=Logger, init=False)

    def enter(self, address: str) -> None:
        """Take a place for one more connection; `open` uses it, or `leave` gives it back.

        :raises Overloaded: there is none. :raises RateLimited: not for this address.
        """
        self.limits.enter(address, self.seconds())

    def leave(self, address: str) -> None:
        """Give back a place that no session came to use."""
        self.limits.leave(address)

    def open(
        self, kind: str, address: str, send_queue: SendQueue, end: Callable[[Refusal | None], None]
    ) -> Session:
        """A session on a place that was taken with `enter`."""
        session = Session(self.new_id(), kind, address, self.seconds(), send_queue, end, self)
        send_queue.written_at = session.opened_at
        self._open[session] = None
        self.metrics.connections[kind] += 1
        self.metrics.connected[kind] += 1
        return session

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

    def end_subjects(self, subjects: Collection[str], of_channel: Callable[[str], bool]) -> int:
        """End the subscriptions of these subjects, as if their grants had expired.

        :param of_channel: tells whether a channel is meant.
        :return: how many there were.
        """
        ended = 0
        for session in self:
            for subscribed in list(session.subscribed.values()):
                admitted = subscribed.admitted
                channel = admitted.asked.definition.name
                if admitted.grant.subject in subjects and of_channel(channel):
                    subscribed.expired()
                    ended += 1
        return ended

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._open))

    def __len__(self) -> int:
        return len(self._open)

    def closed(self, session: Session, why: str) -> None:
        """A session has given back what it had taken; called by the session itself."""
        self._open.pop(session, None)
        self.metrics.connections[session.kind] -= 1
        self.limits.leave(session.address)
        self._logger.info(
            _ENDED if session.subject is None else _ENDED_OF,
            kind=session.kind,
            connection=session.id,
            address=session.address,
            subject=_shown(session.subject),
            seconds=self.seconds() - session.opened_at,
            why=why,
        )


def _shown(subject: str | None) -> str | None:
    """A subject is as long as the app makes it."""
    if subject is None or len(subject) <= SHOWN_SUBJECT:
        return subject
    return subject[:SHOWN_SUBJECT] + "..."
