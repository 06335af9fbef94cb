"""States of topics, as the app gives them: for clients that are new, or have missed too much.

The app is asked by the way of a client's frame (`IAuthorizer.dispatch`), with the log's head at
that moment: what it reads after that has all up to there.  The answer is a message like any
other, whose id is the cursor as of which it is, so it goes out in the form of each connection.

Rules: of those who ask about a topic at once one asks the app, and for a second all are given
what it said, because whoever goes on from an older state has the rest from the log; a failure is
an answer for a second too, so a crowd that comes back never asks more than that.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import attrs
import msgspec
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger

from takotwist.codecs.tako_json import payload
from takotwist.codecs.wire_forms import Encoded
from takotwist.core.authorization import STATE, Drop, Fanout, Frame, Reject
from takotwist.core.channel import StateRules
from takotwist.core.limits import LimitSettings
from takotwist.core.topic import Message, parse_cursor
from takotwist.errors import (
    AuthUnavailable,
    BodyInvalid,
    CursorInvalid,
    Refusal,
    StoreUnavailable,
    VerifyRejected,
)
from takotwist.flow.in_flight import InFlightCalls
from takotwist.flow.topic_request import TopicRequest
from takotwist.ports import IAuthorizer, IReplayLog

#: Seconds for which what the app said holds, and for which its failure does.
KEPT_SECONDS = 1.0

#: Most states that are kept, and most bytes of them.
MAX_STATES, MAX_BYTES = 256, 16 * 2**20


class StateBounds(Protocol):
    """Bounds of a state, named and explained in the configuration."""

    @property
    def max_body_bytes(self) -> int: ...


class _Answer(msgspec.Struct):
    data: msgspec.Raw
    cursor: str | int | None = None


@attrs.frozen(slots=True)
class _Known:
    """Answer of the app: a state, or a refusal."""

    said: Encoded | Refusal
    until: float

    @property
    def size(self) -> int:
        return self.said.size if isinstance(self.said, Encoded) else 0


@attrs.define(slots=True, eq=False)
class ChannelStates:
    """The states of all topics whose channel has a function for them.

    :ivar settings: for the size of a state, which is a body's.
    :ivar seconds: a clock for durations.
    """

    log: IReplayLog
    authorizer: IAuthorizer
    settings: LimitSettings[StateBounds]
    seconds: Callable[[], float]
    _known: OrderedDict[str, _Known] = attrs.field(factory=OrderedDict, init=False)
    _bytes: int = attrs.field(default=0, init=False)
    _in_flight: InFlightCalls[str, Encoded] = attrs.field(factory=InFlightCalls, init=False)
    _logger: Logger = attrs.field(factory=Logger, init=False)

    def at(self, asked: TopicRequest, too_old: int = 0) -> Deferred[Encoded]:
        """The state of a topic, as a message of the type ``tako.state``.

        :param too_old: a state as of this cursor or before it is of no use.
        :raises AuthUnavailable: the app gives none that can be used; the log has the reason.
        :raises VerifyRejected: it says that there is none.
        :raises StoreUnavailable: nobody knows the log's head.
        """
        return ensureDeferred(self._at(asked, too_old))

    async def _at(self, asked: TopicRequest, too_old: int) -> Encoded:
        key = asked.topic.key
        known = self._known.get(key)
        if known is not None:
            said = known.said
            if self.seconds() >= known.until:
                self._forget(key)
            elif isinstance(said, Refusal):
                raise said
            elif said.id > too_old:
                return said
        state = await self._in_flight.ask(key, lambda: ensureDeferred(self._ask(asked)))
        if state.id <= too_old:
            raise self._unusable(asked, f"it is as of {state.id}, which the log reaches no more")
        return state

    async def _ask(self, asked: TopicRequest) -> Encoded:
        try:
            state = await self._state(asked)
        except Refusal as refusal:
            self._keep(asked.topic.key, refusal)
            raise
        self._keep(asked.topic.key, state)
        return state

    async def _state(self, asked: TopicRequest) -> Encoded:
        head, topic = self.log.head, asked.topic
        if not head:
            raise StoreUnavailable
        question = b'{"cursor":"%d"}' % head
        verdict = await self.authorizer.dispatch(
            Frame(topic.channel, topic.params, STATE, question, None)
        )
        match verdict:
            case Reject(reason=reason):
                raise VerifyRejected(reason)
            case Drop(error=error):
                raise self._unusable(asked, error or "there is none")
            case Fanout(data=data):
                try:
                    cursor, state = self._read(asked.definition.state, data, head)
                except (BodyInvalid, CursorInvalid) as bad:
                    raise self._unusable(asked, bad.sentence) from None
                return Encoded(Message(topic, cursor, STATE, state))

    def _read(self, rules: StateRules | None, data: bytes, head: int) -> tuple[int, bytes]:
        """:raises BodyInvalid: :raises CursorInvalid: it cannot be used."""
        try:
            answer = msgspec.json.decode(data, type=_Answer)
        except msgspec.DecodeError as bad:
            raise BodyInvalid(f"it is no state: {bad}") from None
        state = payload(answer.data)
        most = self.settings.limits.max_body_bytes
        if len(state) > most:
            raise BodyInvalid(f"it has {len(state)} bytes; at most {most} are taken")
        if rules is not None and rules.schema is not None:
            rules.schema.check(state)
        cursor = head if answer.cursor is None else parse_cursor(answer.cursor)
        if cursor <= 0 or (self.log.everything and cursor > self.log.head):
            raise CursorInvalid(f"cursor {cursor} is none that this server gave out")
        return cursor, state

    def _unusable(self, asked: TopicRequest, why: str) -> AuthUnavailable:
        self._logger.error(
            "the state of {topic} cannot be used: {why}", topic=asked.topic.key, why=why
        )
        refusal = AuthUnavailable("The app gives no state of this topic now.")
        self._keep(asked.topic.key, refusal)
        return refusal

    def _keep(self, key: str, said: Encoded | Refusal) -> None:
        self._forget(key)
        known = self._known[key] = _Known(said, self.seconds() + KEPT_SECONDS)
        self._bytes += known.size
        while len(self._known) > MAX_STATES or self._bytes > MAX_BYTES:
            self._forget(next(iter(self._known)))

    def __len__(self) -> int:
        """The number of topics of which an answer is kept."""
        return len(self._known)

    def _forget(self, key: str) -> None:
        known = self._known.pop(key, None)
        if known is not None:
            self._bytes -= known.size
