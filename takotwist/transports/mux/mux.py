"""Multiplexed connection: the protocol about many topics (protocol, section 5).

Each subscribe, unsubscribe and publish works on one topic, with its own
authorization, cursor and errors.  Rule: whatever goes wrong on one topic is an
answer to its frame; it never closes the connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.codecs.frames import (
    Authenticate,
    Bad,
    FollowRoster,
    OnTopic,
    Ping,
    Ref,
    Send,
    State,
    ack_frame,
    error_frame,
    open_frame,
    pong_frame,
    read_client_frame,
    reset_frame,
    subscribed_frame,
    synced_frame,
)
from takotwist.core.authorization import Operation
from takotwist.core.channel import Lifecycle
from takotwist.core.log import Appended
from takotwist.core.topic import NEWEST, Topic
from takotwist.errors import BodyInvalid, NotFound, Refusal, TransportNotEnabled
from takotwist.flow.authorize import Authorized
from takotwist.flow.client_frames import ClientFrames
from takotwist.flow.presence_list import follow_roster
from takotwist.flow.refusal import refusal_of
from takotwist.flow.topic_request import RequestCredentials, TopicRequest
from takotwist.transports.admission import Admission, RateRefusals
from takotwist.transports.live.frames import live_frames
from takotwist.transports.mux.topics import PublishGrants, TopicQueues
from takotwist.transports.wire import Wire

_logger = Logger()


class Mux:
    """Speaks ``tako.v1`` about any number of topics.

    :param presented: credentials of the upgrade, for topics that bring none.
    :param opening: what the first frame has besides, on this transport.
    """

    __slots__ = (
        "_admission",
        "_grants",
        "_limited",
        "_live",
        "_presented",
        "_queues",
        "_refs",
        "_wire",
    )

    def __init__(
        self,
        wire: Wire,
        admission: Admission,
        presented: RequestCredentials,
        opening: Mapping[str, object] | None = None,
    ) -> None:
        self._live = live_frames(wire, admission, presented)
        self._wire = wire
        self._admission = admission
        self._presented = presented
        self._limited: RateRefusals | None = None
        self._refs: dict[str, Ref] = {}
        self._grants = PublishGrants(wire, admission)
        self._queues = TopicQueues(wire.hold)
        lifecycle = Lifecycle()
        wire.keep_alive(lifecycle.keepalive_interval_ms / 1000)
        wire.session.live_until(lifecycle.max_connection_lifetime_ms)
        wire.send(open_frame(None, wire.session.id, lifecycle, opening))

    def received(self, text: bytes) -> None:
        """A frame has come."""
        if self._live is not None and self._live.take(text, self._queues.track):
            return
        frame = read_client_frame(text, self._admission.settings.limits.max_message_bytes)
        limited = self._admission.over_rate(self._wire.session.address, frame)
        if limited is not None:
            self._refused_for_rate(limited, None if isinstance(frame, Authenticate) else frame.ref)
            return
        if isinstance(frame, Ping):
            self._wire.send(pong_frame(frame.ref))
        elif isinstance(frame, Bad):
            self._refused(frame.refusal, frame.ref)
        elif isinstance(frame, State | FollowRoster):
            self._refused(BodyInvalid("channel is missing."), frame.ref)
        elif isinstance(frame, Send):
            self._refused(BodyInvalid("op is missing: this connection has many topics."), frame.ref)
        elif isinstance(frame, Authenticate):
            self._presented = self._presented.or_text(frame.token)
            self._grants.forget_refusals()
        else:
            self._run(frame)

    def received_binary(self, payload: bytes) -> bool:
        """A binary frame has come.  Whether it was taken."""
        return self._live is not None and self._live.take_binary(payload)

    def lost(self) -> None:
        """The connection has gone."""
        if self._live is not None:
            self._live.lost()
        self._queues.close()
        self._grants.close()

    async def _on_topic(self, frame: OnTopic) -> None:
        definition = await self._admission.authorizing.find(frame.channel)
        asked = self._admission.authorizing.bind(definition, frame.params)
        if frame.op == "presence":
            self._say(frame, asked)
            return
        if frame.presence:
            asked = asked.of_roster()
        if frame.op == "subscribe":
            await self._subscribe(frame, asked)
        elif frame.op == "unsubscribe":
            await self._unsubscribe(frame, asked.topic)
        elif frame.op == "publish":
            await self._publish(frame, asked)
        else:
            await self._refresh(frame, asked)

    async def _subscribe(self, frame: OnTopic, asked: TopicRequest) -> None:
        admitted = await self._authorize(frame, asked, _operation(asked))
        session, topic, cursor = self._wire.session, asked.topic, frame.cursor

        def opened(cursor: int, reset: Refusal | None) -> None:
            self._refs[topic.key] = frame.ref
            self._wire.send(
                subscribed_frame(
                    frame.ref, cursor, topic, admitted.lifecycle, admitted.grant.subject
                )
            )
            if reset is not None:
                self._wire.send(reset_frame(reset, cursor, frame.ref, topic))

        def ended(refusal: Refusal) -> None:
            self._refused(refusal, self._refs.pop(topic.key, None), topic)

        def synced() -> None:
            self._wire.send(synced_frame(session.position(topic), self._refs.get(topic.key), topic))

        if not asked.roster:
            on_live = synced if cursor == NEWEST or asked.keyed else None
            await session.subscribe(
                admitted, cursor, frame.reset_when_stale, opened, ended, self._wire.hold, on_live
            )
            return

        await follow_roster(
            session, admitted, cursor, frame.reset_when_stale, opened, ended, synced
        )

    def _say(self, frame: OnTopic, asked: TopicRequest) -> None:
        assert frame.state is not None
        asked.of_roster()
        session = self._wire.session
        self._admission.sessions.services.presence.update(asked, session.id, frame.state)
        self._answer(frame.ref, ack_frame(frame.ref))

    async def _unsubscribe(self, frame: OnTopic, topic: Topic) -> None:
        subscribed = self._wire.session.subscribed.get(topic.key)
        if subscribed is None:
            raise NotFound(f"This connection does not follow {topic.key}.")
        self._wire.session.unsubscribe(topic.key)
        self._refs.pop(topic.key, None)
        self._answer(frame.ref, ack_frame(frame.ref))
        # Its turn lasts until what was sent before is done, or to leave and to come again
        # would be a way around what may wait.
        await subscribed.finished()

    async def _publish(self, frame: OnTopic, asked: TopicRequest) -> None:
        if asked.roster:
            raise BodyInvalid("presence: who is here is said by op 'presence'.")
        if not asked.definition.bidirectional:
            raise TransportNotEnabled
        authorize = partial(self._authorize, frame, asked, "publish")
        self._put(frame, await self._grants.way_in(asked, frame.auth, authorize))
        self._grants.remember(_key(frame), asked)

    def _put(self, frame: OnTopic, frames: ClientFrames) -> None:
        assert frame.draft is not None
        frames.received(
            frame.draft, frame.idempotency_key, lambda result: self._stored(frame.ref, result)
        )

    async def _refresh(self, frame: OnTopic, asked: TopicRequest) -> None:
        session = self._wire.session
        subscribed = session.subscribed.get(asked.topic.key)
        # It may also end while the app is asked.
        if subscribed is None or not session.refresh(
            subscribed, await self._authorize(frame, asked, _operation(asked))
        ):
            raise NotFound(f"This connection does not follow {asked.topic.key}.")
        self._answer(frame.ref, ack_frame(frame.ref))

    async def _authorize(
        self, frame: OnTopic, asked: TopicRequest, operation: Operation
    ) -> Authorized:
        presented = self._presented.or_text(frame.auth)
        return await self._admission.authorize(
            asked, operation, presented, self._wire.session.address
        )

    def _stored(self, ref: Ref, result: Appended | Refusal | None) -> None:
        if self._wire.session.closed:
            return
        if isinstance(result, Refusal):
            self._refused(result, ref)
        else:
            stored = None if result is None else result.messages[0].id
            self._answer(ref, ack_frame(ref, stored, stored=stored is not None))

    def _answer(self, ref: Ref, frame: bytes) -> None:
        if ref is not None:
            self._wire.send(frame)

    def _refused(self, refusal: Refusal, ref: Ref, topic: Topic | None = None) -> None:
        self._admission.answers.count(refusal)
        self._wire.send(error_frame(refusal, ref, topic))

    def _refused_for_rate(self, limited: Refusal, ref: Ref) -> None:
        if self._limited is None:
            self._limited = RateRefusals()
        if self._limited.too_many(self._admission.seconds()):
            self._wire.end(limited)
        else:
            self._refused(limited, ref)

    def _run(self, frame: OnTopic) -> None:
        """Work on one topic, after all that came for it before."""
        try:
            # Here, because it may have to wait.
            self._admission.authorizing.check_raw(frame.params)
        except Refusal as refusal:
            self._refused(refusal, frame.ref)
            return
        key = _key(frame)
        if frame.op == "publish" and not self._queues.busy(key):
            known = self._grants.known(key)
            if known is not None:
                # Fast path: it was published to before.
                self._put(frame, known)
                return
        self._queues.take(key, partial(self._on_topic, frame), partial(self._failed, frame.ref))

    def _failed(self, ref: Ref, failure: Failure) -> None:
        self._refused(refusal_of(failure, _logger, "a frame failed"), ref)


def _key(frame: OnTopic) -> str:
    """Equal for frames about one topic whose params are spelled alike."""
    about = "~" if frame.presence else ""
    return f"{about}{frame.channel} {sorted(frame.params.items())}"


def _operation(asked: TopicRequest) -> Operation:
    """The operation to authorize for a subscription: with handlers one may also speak."""
    if asked.roster:
        return "presence"
    return "connect" if asked.definition.bidirectional else "subscribe"
