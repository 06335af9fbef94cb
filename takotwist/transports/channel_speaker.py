"""The protocol of a connection to one channel (protocol, section 5).

Two dialects.  Plain: the server sends messages and nothing else.  ``tako.v1``:
it says where the subscription begins and answers frames that carry a ``ref``.
Rule: the dialects differ in what is told to the client, never in what happens.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.codecs.frames import (
    Authenticate,
    Bad,
    ClientFrame,
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
    synced_frame,
)
from takotwist.core.log import Appended
from takotwist.core.topic import FOREIGN, NEWEST
from takotwist.errors import (
    AuthFrameMalformed,
    AuthFrameMissing,
    BodyInvalid,
    MessageTooLarge,
    Refusal,
)
from takotwist.flow.authorize import Authorized
from takotwist.flow.refusal import refusal_of
from takotwist.flow.session import Subscribed
from takotwist.flow.topic_request import RequestCredentials, TopicRequest
from takotwist.interfaces import Coro
from takotwist.streams.coroutine import begin
from takotwist.transports.admission import Admission, RateRefusals
from takotwist.transports.channel_roster import ChannelRoster
from takotwist.transports.wire import WebSocketWire

_logger = Logger()

#: Seconds that a client has for its ``tako.auth`` frame.
AUTH_FRAME_SECONDS = 5.0


class ChannelSpeaker:
    """One connection to one channel.

    :param explicit: whether it speaks ``tako.v1``.
    :param cursor: of the URL.
    """

    __slots__ = (
        "_admission",
        "_asked",
        "_busy",
        "_cursor",
        "_explicit",
        "_limited",
        "_presented",
        "_reset_when_stale",
        "_roster",
        "_started",
        "_subscribed",
        "_wire",
    )

    def __init__(
        self,
        wire: WebSocketWire,
        admission: Admission,
        asked: TopicRequest,
        presented: RequestCredentials,
        cursor: int | None,
        reset_when_stale: bool,
        explicit: bool,
    ) -> None:
        self._wire = wire
        self._admission = admission
        self._asked = asked
        self._presented = presented
        self._cursor = cursor
        self._reset_when_stale = reset_when_stale
        self._explicit = explicit
        self._subscribed: Subscribed | None = None
        self._busy: Deferred[None] | None = None
        self._started = False
        self._limited: RateRefusals | None = None
        self._roster: ChannelRoster | None = None

    def begin(self, admitted: Authorized | None) -> None:
        """Follow the topic, or wait for the frame that brings the credentials."""
        if admitted is not None:
            self._started = True
            self._run(self._follow(admitted))
        else:
            self._wire.session.later(
                "auth frame",
                self._admission.seconds() + AUTH_FRAME_SECONDS,
                lambda: self._wire.end(AuthFrameMissing()),
            )

    def received(self, text: bytes) -> None:
        """A frame has come."""
        frame = read_client_frame(text, self._admission.settings.limits.max_message_bytes)
        if (
            isinstance(frame, Authenticate)
            and frame.cursor == FOREIGN
            and not self._reset_when_stale
        ):
            frame = Bad(AuthFrameMalformed("lastMessageId must be a decimal id."), auth=True)
        if not self._started:
            self._first(frame)
        elif self._over_rate(frame):
            pass
        elif isinstance(frame, Authenticate):
            self._renew(frame)
        elif isinstance(frame, Send):
            self._send(frame)
        elif isinstance(frame, State):
            self._say(frame)
        elif isinstance(frame, FollowRoster):
            self._follow_roster(frame)
        elif isinstance(frame, Ping):
            if self._explicit:
                self._wire.send(pong_frame(frame.ref))
        elif isinstance(frame, OnTopic):
            self._refused(BodyInvalid(f"op: {frame.op!r} is for /_tako/connect."), frame.ref)
        elif frame.auth:
            self._wire.end(AuthFrameMalformed(frame.refusal.sentence))
        else:
            self._refused(frame.refusal, frame.ref)

    def lost(self) -> None:
        """The connection has gone."""
        if self._busy is not None:
            self._busy.cancel()
        if self._roster is not None:
            self._roster.lost()

    def _first(self, frame: ClientFrame) -> None:
        self._wire.session.cancel("auth frame")
        if not isinstance(frame, Authenticate):
            why = frame.refusal.sentence if isinstance(frame, Bad) else None
            self._wire.end(AuthFrameMalformed(why))
            return
        self._started = True
        self._follow_as(frame)

    def _renew(self, frame: Authenticate) -> None:
        if self._subscribed is not None:
            self._run(self._refresh(self._subscribed, frame))
            return
        # Nothing is followed yet: begin again, as who they say they are now.
        if self._busy is not None:
            self._busy.cancel()
        self._follow_as(frame)

    def _follow_as(self, frame: Authenticate) -> None:
        if frame.cursor is not None:
            self._cursor = frame.cursor
        self._run(self._authenticate(frame))

    async def _authenticate(self, frame: Authenticate) -> None:
        await self._follow(await self._authorize(frame))

    async def _authorize(self, frame: Authenticate) -> Authorized:
        presented = self._presented.or_text(frame.token)
        address = self._wire.session.address
        admitted = await self._admission.authorize(self._asked, "connect", presented, address)
        self._presented = presented
        return admitted

    async def _follow(self, admitted: Authorized) -> None:
        lifecycle = admitted.lifecycle
        wire = self._wire
        wire.keep_alive(lifecycle.keepalive_interval_ms / 1000)
        wire.session.live_until(lifecycle.max_connection_lifetime_ms)

        def opened(cursor: int, reset: Refusal | None) -> None:
            if self._explicit:
                wire.send(open_frame(cursor, wire.session.id, lifecycle))
                if reset is not None:
                    wire.send(reset_frame(reset, cursor))

        def synced() -> None:
            wire.send(synced_frame(wire.session.position(self._asked.topic)))

        told = self._explicit and (self._cursor == NEWEST or self._asked.keyed)
        self._subscribed = await wire.session.subscribe(
            admitted,
            self._cursor,
            self._reset_when_stale,
            opened,
            wire.end,
            wire.hold,
            synced if told else None,
        )

    async def _refresh(self, subscribed: Subscribed, frame: Authenticate) -> None:
        with subscribed.renewing():
            admitted = await self._authorize(frame)
            if not self._wire.session.closed:
                self._wire.session.refresh(subscribed, admitted)
                if self._roster is not None:
                    self._roster.renew(self._presented)

    def _over_rate(self, frame: ClientFrame) -> bool:
        limited = self._admission.over_rate(self._wire.session.address, frame)
        if limited is None:
            return False
        if self._limited is None:
            self._limited = RateRefusals()
        if self._explicit and not self._limited.too_many(self._admission.seconds()):
            self._refused(limited, None if isinstance(frame, Authenticate) else frame.ref)
        else:
            self._wire.end(limited)
        return True

    def _send(self, frame: Send) -> None:
        if self._subscribed is None:
            # Between the credentials and the first page: what comes now would
            # go before the client was told where it stands.
            self._refused(BodyInvalid("The connection is not open yet."), frame.ref)
            return
        self._subscribed.frames.received(
            frame.draft, frame.idempotency_key, lambda result: self._answer(frame.ref, result)
        )

    def _say(self, frame: State) -> None:
        try:
            self._asked.of_roster()
            session = self._wire.session
            self._admission.sessions.services.presence.update(self._asked, session.id, frame.state)
        except Refusal as refusal:
            self._refused(refusal, frame.ref)
        else:
            if self._explicit and frame.ref is not None:
                self._wire.send(ack_frame(frame.ref))

    def _follow_roster(self, frame: FollowRoster) -> None:
        try:
            if self._subscribed is None:
                raise BodyInvalid("The connection is not open yet.")
            if not self._explicit:
                raise BodyInvalid("Who is here can be followed with tako.v1 alone.")
            if self._roster is None:
                self._roster = ChannelRoster(
                    self._wire, self._admission, self._asked, self._presented
                )
        except Refusal as refusal:
            self._refused(refusal, frame.ref)
        else:
            self._roster.take(frame)

    def _answer(self, ref: Ref, result: Appended | Refusal | None) -> None:
        if self._wire.session.closed:
            return
        if isinstance(result, Refusal):
            self._refused(result, ref)
        elif self._explicit and ref is not None:
            stored = None if result is None else result.messages[0].id
            self._wire.send(ack_frame(ref, stored, stored=stored is not None))

    def _refused(self, refusal: Refusal, ref: Ref) -> None:
        self._admission.answers.count(refusal)
        if isinstance(refusal, MessageTooLarge) and not self._explicit:
            self._wire.end(refusal)
        elif self._explicit:
            self._wire.send(error_frame(refusal, ref))
        # In the plain dialect a bad frame is dropped: there is no word for it.

    def _run(self, doing: Coro[None]) -> None:
        """Do one thing after the other; whatever goes wrong ends the connection."""
        before = self._busy
        try:
            done = begin(doing)
        except Exception:
            self._now(None, before)
            # It gets no name here: its traceback has this frame, and each would keep
            # the other, and the wire, until Python looks for cycles.
            self._failed(Failure())
        else:
            self._now(done, before)
            if done is not None:
                done.addErrback(self._failed)

    def _now(self, busy: Deferred[None] | None, before: Deferred[None] | None) -> None:
        if before is not None and not before.called:
            # A second auth frame while the first is being asked about.
            before.cancel()
        self._busy = busy

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        self._wire.end(refusal_of(failure, _logger, "a connection failed"))
