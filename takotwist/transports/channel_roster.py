"""Roster beside its topic, on a connection to one channel (protocol, presence).

The frames are those of a connection with many topics, without the name of the channel, and what
comes of it is told from the channel's own messages by types that no app can use.
"""

from __future__ import annotations

from functools import partial

from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.codecs.frames import (
    FollowRoster,
    Ref,
    ack_frame,
    error_frame,
    reset_frame,
    subscribed_frame,
    synced_frame,
)
from takotwist.errors import NotFound, Refusal
from takotwist.flow.authorize import Authorized
from takotwist.flow.presence_list import follow_roster
from takotwist.flow.refusal import refusal_of
from takotwist.flow.topic_request import RequestCredentials, TopicRequest
from takotwist.transports.admission import Admission
from takotwist.transports.mux.topics import TopicQueues
from takotwist.transports.wire import WebSocketWire

_logger = Logger()


class ChannelRoster:
    """The roster of one connection's topic.

    :param presented: the connection's newest credentials.
    :raises TransportNotEnabled: the channel has no presence.
    """

    __slots__ = ("_admission", "_asked", "_queues", "_ref", "_wire", "presented")

    def __init__(
        self,
        wire: WebSocketWire,
        admission: Admission,
        asked: TopicRequest,
        presented: RequestCredentials,
    ) -> None:
        self._wire = wire
        self._admission = admission
        self._asked = asked.of_roster()
        self.presented = presented
        self._queues = TopicQueues(wire.hold)
        self._ref: Ref = None

    def take(self, frame: FollowRoster) -> None:
        """Do what a frame asks for, after all that came before it."""
        work = self._subscribe if frame.op == "subscribe" else self._unsubscribe
        self._queues.take("", partial(work, frame), partial(self._failed, frame.ref))

    def renew(self, presented: RequestCredentials) -> None:
        """There are new credentials: whoever follows shows them again."""
        self.presented = presented
        self._queues.take("", self._refresh, partial(self._failed, self._ref))

    def lost(self) -> None:
        """The connection has gone."""
        self._queues.close()

    async def _subscribe(self, frame: FollowRoster) -> None:
        admitted = await self._authorize()
        session, topic = self._wire.session, self._asked.topic

        def opened(cursor: int, reset: Refusal | None) -> None:
            self._ref = frame.ref
            self._wire.send(
                subscribed_frame(
                    frame.ref, cursor, topic, admitted.lifecycle, admitted.grant.subject
                )
            )
            if reset is not None:
                self._wire.send(reset_frame(reset, cursor, frame.ref, topic))

        def synced() -> None:
            self._wire.send(synced_frame(session.position(topic), self._ref, topic))

        await follow_roster(
            session, admitted, frame.cursor, frame.reset_when_stale, opened, self._ended, synced
        )

    async def _unsubscribe(self, frame: FollowRoster) -> None:
        if not self._wire.session.unsubscribe(self._asked.topic.key):
            raise NotFound("This connection does not follow who is here.")
        if frame.ref is not None:
            self._wire.send(ack_frame(frame.ref))

    async def _refresh(self) -> None:
        session = self._wire.session
        subscribed = session.subscribed.get(self._asked.topic.key)
        if subscribed is not None:
            session.refresh(subscribed, await self._authorize())

    async def _authorize(self) -> Authorized:
        address = self._wire.session.address
        return await self._admission.authorize(self._asked, "presence", self.presented, address)

    def _ended(self, refusal: Refusal) -> None:
        self._refused(refusal, self._ref)

    def _refused(self, refusal: Refusal, ref: Ref) -> None:
        self._admission.answers.count(refusal)
        self._wire.send(error_frame(refusal, ref, self._asked.topic))

    def _failed(self, ref: Ref, failure: Failure) -> None:
        self._refused(refusal_of(failure, _logger, "following who is here failed"), ref)
