"""The state machine of one subscription: one topic, over SSE or a WebSocket of its own.

Read with the protocol, sections 4 to 6: what the sections promise of a cursor
is kept here.  Its states are those of `Phase`, its transitions those of
`TRANSITIONS`::

    NEW            started          -> CONNECTING
    CONNECTING     SSE answer       -> STREAMING
                   upgraded, plain  -> PLAIN
                   upgraded, tako.v1 -> HANDSHAKE
    HANDSHAKE      {"op":"open"}    -> EXPLICIT
    any of these   ended            -> WAITING, or ASKING_APP where continuity is gone
                   WebSocket not enabled, transport auto -> CONNECTING, over SSE
    WAITING        retry is due     -> CONNECTING
    ASKING_APP     the app answered -> WAITING
    any            closed, or stopped by an error -> CLOSED

Rule: each way in which a connection can end goes through `_ended`, and each change of
phase through `_enter`.  Facts that a phase has no use for, such as a frame of a
connection that is over, change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Literal

import attrs

from takotwist.client import wire as frames
from takotwist.client.errors import ProtocolBroken, SubscriptionClosed
from takotwist.client.events import read_message, read_object
from takotwist.client.machine.continuity import Continuity, Delivery
from takotwist.client.machine.link import Link, Retries
from takotwist.client.machine.machine import (
    AskGone,
    Connect,
    Deliver,
    Machine,
    Send,
    Settle,
    Stop,
    earliest,
)
from takotwist.client.machine.outcome import ENDED, Action, Outcome, foreign
from takotwist.client.machine.outgoing import Outgoing
from takotwist.client.machine.policy import CredentialsKind, OnGone, Policy, Transport
from takotwist.client.machine.stream_reader import StreamReader
from takotwist.client.wire import EventStream, RetrySaid
from takotwist.errors import TakoError, TransportNotEnabled
from takotwist.states import Transitions, moved


class Phase(Enum):
    """State of a subscription; finer than the `State` of its link, which follows from it."""

    NEW = "new"
    CONNECTING = "connecting"
    #: An SSE response is read.
    STREAMING = "streaming"
    #: A WebSocket without subprotocol: nothing is acknowledged, publishes neither.
    PLAIN = "plain"
    #: A ``tako.v1`` WebSocket before the server's ``open``.
    HANDSHAKE = "handshake"
    #: A ``tako.v1`` WebSocket after it.
    EXPLICIT = "explicit"
    WAITING = "waiting"
    #: Continuity has ended, and the app says where to go on.
    ASKING_APP = "asking-app"
    CLOSED = "closed"


_OVER = frozenset({Phase.WAITING, Phase.ASKING_APP, Phase.CLOSED})
#: What may follow each phase.  A second ``open`` frame is taken like the first.
TRANSITIONS: Transitions[Phase] = {
    Phase.NEW: frozenset({Phase.CONNECTING, Phase.CLOSED}),
    Phase.CONNECTING: _OVER | {Phase.CONNECTING, Phase.STREAMING, Phase.PLAIN, Phase.HANDSHAKE},
    Phase.STREAMING: _OVER,
    Phase.PLAIN: _OVER | {Phase.CONNECTING},
    Phase.HANDSHAKE: _OVER | {Phase.CONNECTING, Phase.EXPLICIT},
    Phase.EXPLICIT: _OVER | {Phase.CONNECTING, Phase.EXPLICIT},
    Phase.WAITING: frozenset({Phase.CONNECTING, Phase.CLOSED}),
    Phase.ASKING_APP: frozenset({Phase.WAITING, Phase.CLOSED}),
    Phase.CLOSED: frozenset(),
}
#: The server has attached us: messages may come, and a cursor may be known.
_ATTACHED = frozenset({Phase.STREAMING, Phase.PLAIN, Phase.EXPLICIT})
#: Frames may be sent.
_WRITABLE = frozenset({Phase.PLAIN, Phase.EXPLICIT})
_WEBSOCKET = _WRITABLE | {Phase.HANDSHAKE}
_CONNECTED = _WEBSOCKET | {Phase.CONNECTING, Phase.STREAMING}


@attrs.define(slots=True)
class SubscriptionMachine(Machine):
    """A subscription with a connection of its own.  Made with `starting_at`.

    :ivar phase: changed by `_enter` alone.
    """

    _params: Mapping[str, object]
    _policy: Policy
    _delivery: Delivery
    _outgoing: Outgoing
    _credentials: CredentialsKind
    #: ``auto`` becomes ``sse`` where the server has no WebSocket for this channel.
    _transport: Transport
    _channel: str
    phase: Phase = attrs.field(default=Phase.NEW, init=False)
    #: `STREAMING` only.
    _reader: StreamReader | None = attrs.field(default=None, init=False)
    #: `ASKING_APP` only: why the last connection ended.
    _gone_outcome: Outcome | None = attrs.field(default=None, init=False)
    _refs: int = attrs.field(default=0, init=False)

    @classmethod
    def starting_at(
        cls,
        cursor: str | None,
        params: Mapping[str, object],
        *,
        policy: Policy,
        random: Callable[[], float],
        make_key: Callable[[], str],
        transport: Transport = "auto",
        credentials: CredentialsKind = "none",
        on_gone: OnGone = "reset",
        channel: str = "",
    ) -> SubscriptionMachine:
        """A subscription that has not begun.

        :param cursor: an id, ``"0"`` for all that is kept, `None` for live.
        :param credentials: what kind of them the caller has.
        :param random: gives a float in [0, 1).
        :param make_key: gives a fresh idempotency key.
        :param channel: its name.
        """
        return cls(
            Link(policy, Retries(policy, random)),
            params,
            policy,
            Delivery(Continuity.starting_at(cursor, on_gone)),
            Outgoing(policy, make_key, random),
            credentials,
            transport,
            channel,
        )

    @property
    def _carrier(self) -> Literal["sse", "websocket"]:
        return "sse" if self._transport == "sse" else "websocket"

    @property
    def _continuity(self) -> Continuity:
        return self._delivery.continuity

    @property
    def cursor(self) -> str | None:
        """The id of the last event given out, or where the server said we stand."""
        return self._continuity.cursor

    # The caller.

    def started(self, now: float) -> None:
        """The caller wants it to begin."""
        if self.phase is Phase.NEW:
            self._connect(now)

    def publish(self, type: str, data: object, now: float, key: str | None = None) -> int:
        """Take a publish; its outcome comes as `Settle` with the number returned.

        :raises BodyInvalid: it is no message.  :raises OutgoingFull: too many wait.
        :raises TransportNotEnabled: SSE has no way back.
        """
        if self.phase is Phase.CLOSED:
            raise SubscriptionClosed("The subscription is closed.")
        if self._carrier == "sse":
            raise TransportNotEnabled("Over SSE nothing can be published.")
        publish = self._outgoing.add(type, data, key)
        self._flush(now)
        return publish.number

    def refreshed(self, token: str) -> None:
        """There are new credentials; they are shown to a server that is connected by WebSocket."""
        if self.phase in _WRITABLE:
            self._intents.append(Send(frames.auth(token, None)))

    def closed(self) -> None:
        """The caller wants no more."""
        if self.phase is not Phase.CLOSED:
            self._drop()
            self._stop(None)

    def gone_answered(self, cursor: str | None, now: float) -> None:
        """The app answered `AskGone`: where to go on, `None` for live."""
        if self._gone_outcome is not None:
            self._continuity.restarted(cursor)
            self._wait(self._gone_outcome, now)

    # The server, over SSE.

    def answered(self, outcome: Outcome, now: float) -> None:
        """An HTTP answer came, to the request or in place of an upgrade."""
        if self.phase is not Phase.CONNECTING or outcome.action is not Action.OPEN:
            self._ended(outcome, now)
            return
        if self._carrier != "sse":
            # An event stream in place of an upgrade is nobody's stream: who asked is gone.
            said = foreign(200, "text/event-stream")
            self._ended(Outcome(Action.BACKOFF, outcome.code, said), now)
            return
        self.link.opened(now)
        self._enter(Phase.STREAMING)
        stream = EventStream(self._policy.max_message_bytes)
        self._reader = StreamReader(self._delivery, self._params, stream, self._channel)

    def bytes_received(self, data: bytes, now: float) -> None:
        """Some of the response came, split anyhow."""
        if self._reader is None:
            return
        self.link.heard(now)
        try:
            for step in self._reader.feed(data):
                if isinstance(step, RetrySaid):
                    self.link.retries.rebase(step.retry_ms)
                    continue
                if isinstance(step, Deliver):
                    self.link.delivered()
                self._intents.append(step)
        except ProtocolBroken as broken:
            self.broke(broken, now)

    def ended(self, now: float) -> None:
        """The response ended cleanly, as it does after the connection's lifetime."""
        self._ended(ENDED, now)

    # The server, over WebSocket.

    def opened(self, subprotocol: str | None, token: str | None, now: float) -> None:
        """The WebSocket is open.

        :param subprotocol: what the server chose.
        :param token: credentials that go in the first frame, where they do.
        """
        if self.phase is not Phase.CONNECTING:
            return
        if token is not None:
            self._intents.append(Send(frames.auth(token, self.cursor)))
        if subprotocol == frames.SUBPROTOCOL:
            self._enter(Phase.HANDSHAKE)
        else:
            self.link.opened(now)
            self._attached_at(Phase.PLAIN, None, now)

    def text_received(self, text: str | bytes, now: float) -> None:
        """A text frame came."""
        if self.phase not in _WEBSOCKET:
            return
        self.link.heard(now)
        try:
            value = read_object(text)
            if self.phase is not Phase.PLAIN and "op" in value:
                self._controlled(frames.read_control(value), now)
                return
            message = read_message(value, self._params)
        except ProtocolBroken as broken:
            self.broke(broken, now)
            return
        self.link.delivered()
        self._intents += self._delivery.received(message)

    def _controlled(self, said: frames.Control | None, now: float) -> None:
        match said:
            case frames.Opened(cursor, keepalive_ms):
                self.link.opened(now, asks=True, keepalive_ms=keepalive_ms)
                self._attached_at(Phase.EXPLICIT, cursor, now)
            case frames.WasReset(_, reason, cursor):
                self._intents.append(self._delivery.was_reset(reason, cursor))
            case frames.Acked(ref, id):
                self._intents += self._outgoing.acked(ref, id)
                self._flush_paced(now)
            case frames.Failed(ref, outcome):
                self._intents += self._outgoing.failed(ref, outcome, now)
                self._flush_paced(now)

    def _attached_at(self, phase: Phase, cursor: str | None, now: float) -> None:
        self._enter(phase)
        self._intents += self._delivery.attached(cursor)
        self._flush(now)

    def _flush(self, now: float) -> None:
        if self.phase not in _WRITABLE:
            return
        for publish in self._outgoing.unsent():
            if self.phase is Phase.EXPLICIT:
                self._outgoing.sent(publish, self._next_ref(), now)
                self._intents.append(Send(frames.publish(publish)))
            else:
                # Nothing will answer; what an open connection took counts as published.
                self._outgoing.done(publish)
                self._intents += [Send(frames.plain_publish(publish)), Settle(publish.number)]

    def _flush_paced(self, now: float) -> None:
        if self._outgoing.ready(now):
            self._flush(now)

    def _next_ref(self) -> int:
        self._refs += 1
        return self._refs

    # The link.

    @property
    def wake_at(self) -> float | None:
        """Time at which to call `woke`, or `None`."""
        outgoing = self._outgoing
        return earliest(self.link.wake_at, outgoing.overdue_at, outgoing.resume_at)

    def woke(self, now: float) -> None:
        """Time has passed.  Harmless when it is too early."""
        Machine.woke(self, now)
        self._intents += self._outgoing.overdue(now)
        self._flush_paced(now)

    def _enter(self, phase: Phase) -> None:
        self.phase = moved(TRANSITIONS, self.phase, phase)
        # What belongs to one phase ends with it.
        self._reader = self._gone_outcome = None

    def _connect(self, now: float) -> None:
        self.link.connecting(now)
        self._enter(Phase.CONNECTING)
        stale_reset = self._continuity.on_gone == "reset"
        self._intents.append(Connect(self._carrier, self.cursor, stale_reset))

    def _ping(self) -> None:
        self._intents.append(Send(frames.ping(self._next_ref())))

    def _ended(self, outcome: Outcome, now: float) -> None:
        if self.phase not in _CONNECTED:
            return
        outcome = outcome.with_credentials(self._credentials)
        unproven = self.phase in _ATTACHED and self.cursor is None
        self._outgoing.connection_lost()
        if outcome.code == TransportNotEnabled.code and self._transport == "auto":
            self._transport = "sse"
            self._intents += self._outgoing.give_up(outcome.error())
            self._connect(now)
        elif outcome.action is Action.STOP:
            self._stop(outcome.error())
        elif outcome.action is Action.GONE:
            self._gone(outcome.code, outcome, now)
        elif unproven:
            self._gone("no-cursor", outcome, now)
        else:
            self._wait(outcome, now)

    def _wait(self, outcome: Outcome, now: float) -> None:
        self.link.lost(outcome, now)
        self._enter(Phase.WAITING)

    def _gone(self, reason: str, outcome: Outcome, now: float) -> None:
        gone = self._continuity.ended(reason)
        if gone is None:
            self._wait(outcome, now)
        elif self._continuity.on_gone == "raise":
            self._stop(gone)
        else:
            self.link.idle()
            self._enter(Phase.ASKING_APP)
            self._gone_outcome = outcome
            self._intents.append(AskGone(gone))

    def _stop(self, error: TakoError | None) -> None:
        self.link.closed()
        self._enter(Phase.CLOSED)
        self._intents += self._outgoing.give_up(error)
        self._intents.append(Stop(error))
