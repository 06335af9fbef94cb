"""Work queues and publish grants of one multiplexed connection, per topic.

Frames about one topic are worked on in turn, about others at once.  Rule: only so many are
in flight (`flow.back_pressure`), and beyond them the connection is not read; none outlives it.

Lifecycle of the queues (`INTAKE_TRANSITIONS`):

    READING  as many frames in flight as may be -> FULL
    FULL     one of them is done -> READING
    either   the connection has gone -> CLOSED, which is final

A grant to publish is remembered as long as it holds and no longer, and for a bounded number
of topics; whatever is forgotten is only asked for again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from hashlib import sha256

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.core.authorization import REFUSED_SECONDS
from takotwist.errors import Refusal, VerifyRejected
from takotwist.flow.authorize import Authorized
from takotwist.flow.back_pressure import MAX_FRAMES_IN_FLIGHT
from takotwist.flow.client_frames import ClientFrames
from takotwist.flow.topic_request import TopicRequest
from takotwist.interfaces import Coro
from takotwist.states import Transitions, moved
from takotwist.transports.admission import Admission
from takotwist.transports.wire import Wire

#: Topics for which a connection's grant to publish is remembered.
MAX_WRITERS = 32

#: Number of names that a remembered spelling counts for: itself, and what it stands for.
ASKED_NAMES = 2

_logger = Logger()


class Intake(Enum):
    """State of a connection's work queues."""

    READING = "reading"
    #: The connection is not read.
    FULL = "full"
    CLOSED = "closed"


INTAKE_TRANSITIONS: Transitions[Intake] = {
    Intake.READING: frozenset({Intake.FULL, Intake.CLOSED}),
    Intake.FULL: frozenset({Intake.READING, Intake.CLOSED}),
    Intake.CLOSED: frozenset(),
}


class TopicQueues:
    """Per-topic work queues of one connection.

    :param hold: called with `True` when no more frames should be read, and with `False`
        when they may be again.
    """

    __slots__ = ("_hold", "_in_flight", "_last", "state")

    def __init__(self, hold: Callable[[bool], None]) -> None:
        self.state = Intake.READING
        self._hold = hold
        self._in_flight: set[Deferred[None]] = set()
        self._last: dict[str, Deferred[None]] = {}

    def busy(self, topic: str) -> bool:
        """Test whether work on `topic` is in flight."""
        return topic in self._last

    def take(
        self,
        topic: str,
        work: Callable[[], Coro[None]],
        failed: Callable[[Failure], None],
    ) -> None:
        """Do `work` after all that came for `topic` before.

        What comes when the connection has gone is dropped.

        :param failed: told why it was not done, unless the connection has gone.
        """
        if self.state is Intake.CLOSED:
            return
        before = self._last.get(topic)
        mine = self._last[topic] = Deferred()

        def finished(result: object) -> None:
            if self._last.get(topic) is mine:
                del self._last[topic]
            if isinstance(result, Failure):
                if self.state is not Intake.CLOSED:
                    failed(result)
                elif not result.check(CancelledError, Refusal):
                    _logger.failure("a frame failed", result)
            mine.callback(None)

        self._begin(self._in_turn(before, work), finished)

    async def _in_turn(self, before: Deferred[None] | None, work: Callable[[], Coro[None]]) -> None:
        if before is not None:
            await before
            if self.state is Intake.CLOSED:
                # It has its turn because what was before it was cancelled.
                return
        await work()

    def track(self, doing: Coro[None]) -> None:
        """Have something done while the connection lasts."""

        def finished(result: object) -> None:
            if isinstance(result, Failure) and not result.check(CancelledError):
                _logger.failure("a frame failed", result)

        self._begin(doing, finished)

    def _begin(self, doing: Coro[None], finished: Callable[[object], None]) -> None:
        done = ensureDeferred(doing)
        self._in_flight.add(done)
        if self.state is Intake.READING and len(self._in_flight) >= MAX_FRAMES_IN_FLIGHT:
            self._become(Intake.FULL)
            self._hold(True)

        def over(result: object) -> None:
            self._in_flight.discard(done)
            if self.state is Intake.FULL and len(self._in_flight) < MAX_FRAMES_IN_FLIGHT:
                self._become(Intake.READING)
                self._hold(False)
            finished(result)

        done.addBoth(over)

    def close(self) -> None:
        """Cancel what is in flight: the connection has gone."""
        self._become(Intake.CLOSED)
        for doing in list(self._in_flight):
            doing.cancel()

    def _become(self, state: Intake) -> None:
        self.state = moved(INTAKE_TRANSITIONS, self.state, state)


class PublishGrants:
    """Grants to publish of one connection.  A subscribed topic has its queue by that."""

    __slots__ = ("_admission", "_asked", "_own", "_refused", "_wire")

    def __init__(self, wire: Wire, admission: Admission) -> None:
        self._wire = wire
        self._admission = admission
        #: With what the name counts for.
        self._own: dict[str, tuple[ClientFrames, int]] = {}
        self._asked: dict[str, TopicRequest] = {}
        #: By a digest: a client chooses how long a topic's name and credentials are.
        self._refused: dict[bytes, tuple[VerifyRejected, float]] = {}

    def known(self, spelled: str) -> ClientFrames | None:
        """The queue of a topic that was published to before, with the grant that there is.

        :param spelled: as it was when it was remembered.
        :return: `None` where the topic must be found, or the app asked.
        """
        asked = self._asked.get(spelled)
        if asked is None:
            return None
        topic = asked.topic.key
        subscribed = self._wire.session.subscribed.get(topic)
        own = self._own.get(topic, (None, 0))[0]
        frames = own if subscribed is None else subscribed.frames
        if (
            frames is None
            or not self._admission.authorizing.current(asked.definition)
            or (subscribed is None and self._expired(frames))
        ):
            self._forget(spelled)
            return None
        return frames

    def remember(self, spelled: str, asked: TopicRequest) -> None:
        """A message has gone in to a topic that a frame spelled so."""
        if spelled in self._asked:
            self._forget(spelled)
        elif len(self._asked) >= MAX_WRITERS:
            self._forget(next(iter(self._asked)))
        if self._wire.session.remember_name(ASKED_NAMES * asked.name_bytes):
            self._asked[spelled] = asked

    def _forget(self, spelled: str) -> None:
        asked = self._asked.pop(spelled)
        self._wire.session.let_go_of_name(ASKED_NAMES * asked.name_bytes)

    async def way_in(
        self, asked: TopicRequest, auth: str | None, authorize: Callable[[], Awaitable[Authorized]]
    ) -> ClientFrames:
        """The queue for a message: that of the subscription, or one for publishing alone.

        :param auth: what the frame itself presents.
        :param authorize: asks the app, where nothing else lets the message in.
        """
        topic = asked.topic.key
        subscribed = self._wire.session.subscribed.get(topic)
        if subscribed is not None:
            return subscribed.frames
        frames = self._take(topic)
        if frames is None or self._expired(frames):
            admitted = await self._ask(_digest(topic, auth), authorize)
            address = self._wire.session.address
            frames = self._admission.sessions.services.way_in(admitted, address, self._wire.hold)
            # Another may have been put there meanwhile.
            self._take(topic)
        if self._wire.session.remember_name(asked.name_bytes):
            self._own[topic] = frames, asked.name_bytes
        if len(self._own) > MAX_WRITERS:
            # What it still holds is finished; only the grant is asked for again.
            self._take(next(iter(self._own)))
        return frames

    def _take(self, topic: str) -> ClientFrames | None:
        frames, size = self._own.pop(topic, (None, 0))
        if frames is not None:
            self._wire.session.let_go_of_name(size)
        return frames

    def forget_refusals(self) -> None:
        """The connection presents other credentials now."""
        self._refused.clear()

    async def _ask(self, key: bytes, authorize: Callable[[], Awaitable[Authorized]]) -> Authorized:
        """Ask the app, unless it has said no just now; as `PublishGrant` does."""
        now = self._admission.seconds()
        refusal, until = self._refused.pop(key, (None, 0.0))
        if refusal is not None and now < until:
            self._refused[key] = refusal, until
            raise refusal
        try:
            return await authorize()
        except VerifyRejected as no:
            self._refused[key] = no, now + REFUSED_SECONDS
            if len(self._refused) > MAX_WRITERS:
                del self._refused[next(iter(self._refused))]
            raise

    def close(self) -> None:
        """The connection has gone."""
        for spelled in list(self._asked):
            self._forget(spelled)
        for topic in list(self._own):
            frames = self._take(topic)
            assert frames is not None
            frames.close()

    def _expired(self, frames: ClientFrames) -> bool:
        return frames.permission.expired


def _digest(topic: str, auth: str | None) -> bytes:
    return sha256(repr((topic, auth)).encode()).digest()
