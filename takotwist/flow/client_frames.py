"""Frames of clients on their way through the app's handler, before anyone sees them.

Rule: frames of one subscription are handled one after the other, in the order
in which they came, so what a client sends first is stored first.  The app is asked
whether the client may publish before the first is handled; the others wait behind it.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from takotwist.core.authorization import Drop, Fanout, Frame, Reject
from takotwist.core.log import Appended
from takotwist.core.topic import Draft
from takotwist.errors import BodyInvalid, InternalError, Refusal, VerifyRejected
from takotwist.flow.authorize import AuthorizerService
from takotwist.flow.back_pressure import MAX_FRAMES_QUEUED
from takotwist.flow.publish import PublisherService, validate
from takotwist.flow.publish_grant import PublishGrant
from takotwist.flow.topic_request import TopicRequest
from takotwist.ports import IAuthorizer
from takotwist.trampoline import started

_logger = Logger()


#: What becomes of a frame: the stored message, `None` where it was dropped, by the app or because
#: the connection has gone, or the refusal.
Outcome = Callable[[Appended | Refusal | None], None]


@attrs.define(slots=True)
class ClientFrames:
    """Puts frames of one subscription through the app's handlers.

    :ivar address: of the client.
    :ivar permission: whether its client may publish.
    :ivar on_full: called with `True` when no more frames should be read from the
        connection, and with `False` when they may be again.
    """

    asked: TopicRequest
    address: str
    permission: PublishGrant
    authorizer: IAuthorizer
    authorizing: AuthorizerService
    publishing: PublisherService
    on_full: Callable[[bool], None]
    # A list, because a deque takes 760 bytes even when it is empty, and this one stays short.
    _waiting: list[tuple[Draft, str | None, Outcome]] = attrs.field(factory=list, init=False)
    _running: bool = attrs.field(default=False, init=False)
    _paused: bool = attrs.field(default=False, init=False)
    _closed: bool = attrs.field(default=False, init=False)
    _ended: Refusal | None = attrs.field(default=None, init=False)
    _idle: Deferred[None] | None = attrs.field(default=None, init=False)

    def received(self, draft: Draft, idempotency_key: str | None, outcome: Outcome) -> None:
        """Take one frame.  `outcome` is called once, also after the connection has gone."""
        if self._closed:
            outcome(None)
            return
        if self._ended is not None:
            outcome(self._ended)
            return
        self._waiting.append((draft, idempotency_key, outcome))
        if len(self._waiting) == MAX_FRAMES_QUEUED:
            self.on_full(True)
        self._go_on()

    def pause(self, paused: bool) -> None:
        """Let frames wait while new credentials are asked about, or go on."""
        self._paused = paused
        self._go_on()

    def finished(self) -> Deferred[None]:
        """Wait until nothing waits or is under way.  One may wait for it at a time."""
        if not self._running and not self._waiting:
            return succeed(None)
        self._idle = Deferred()
        return self._idle

    def close(self) -> None:
        """The connection is gone: drop what waits.  What is under way is finished."""
        self._closed = True
        for _, _, outcome in self._forget_waiting():
            outcome(None)

    def end(self, refusal: Refusal) -> None:
        """The server ended the subscription, and the connection stays: refuse what waits."""
        self._ended = refusal
        for _, _, outcome in self._forget_waiting():
            outcome(refusal)

    def _forget_waiting(self) -> list[tuple[Draft, str | None, Outcome]]:
        waiting, self._waiting = self._waiting, []
        if len(waiting) >= MAX_FRAMES_QUEUED:
            # Other topics are read from the same connection.
            self.on_full(False)
        return waiting

    def _go_on(self) -> None:
        if not self._running and not self._paused and self._waiting:
            self._running = True
            started(self._run()).addErrback(
                lambda failure: _logger.failure("handling frames failed", failure)
            )

    async def _run(self) -> None:
        try:
            while self._waiting and not self._paused:
                if len(self._waiting) == MAX_FRAMES_QUEUED:
                    self.on_full(False)
                draft, key, outcome = self._waiting.pop(0)
                try:
                    storing = await self._handle(draft, key)
                except Refusal as refusal:
                    outcome(refusal)
                    continue
                except Exception:
                    _logger.failure("handling a frame failed")
                    outcome(InternalError())
                    continue
                if storing is None:
                    outcome(None)
                else:
                    # Not awaited: the next frame's handler may run while this
                    # one commits; the order of offers is the order of ids.
                    storing.addCallbacks(
                        outcome,
                        lambda failure, outcome=outcome: outcome(
                            failure.value if isinstance(failure.value, Refusal) else InternalError()
                        ),
                    )
        finally:
            self._running = False
            if self._idle is not None and not self._waiting:
                idle, self._idle = self._idle, None
                idle.callback(None)

    async def _handle(self, draft: Draft, key: str | None) -> Deferred[Appended] | None:
        asked = self.asked
        definition = asked.definition
        if definition.handlers is not None and draft.type not in definition.handlers:
            if not definition.forward_unhandled:
                if definition.messages and draft.type not in definition.messages:
                    raise BodyInvalid(
                        f"type: channel {definition.name!r} has no message {draft.type!r}."
                    )
                return None
            validate(definition, [draft])
            if self.permission.granted() is None:
                await self.permission.ask()
        else:
            validate(definition, [draft])
            grant = self.permission.granted() or await self.permission.ask()
            verdict = await self.authorizer.dispatch(
                Frame(
                    definition.name,
                    asked.params,
                    draft.type,
                    draft.data,
                    grant.subject,
                    self.address,
                )
            )
            match verdict:
                case Drop(error=None):
                    return None
                case Drop(error=error):
                    _logger.warn(
                        "a frame of {channel} ({type}) was dropped: {error}",
                        channel=definition.name,
                        type=draft.type,
                        error=error,
                    )
                    return None
                case Reject(reason=reason):
                    raise VerifyRejected(reason)
                case Fanout(data=data):
                    draft = Draft(draft.type, data)
        return self.publishing.publish(
            asked.topic,
            [draft],
            self.authorizing.lifecycle(definition),
            key,
            newest=definition.newest,
        )
