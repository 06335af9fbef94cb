"""The app is told who came and who left: at least once each, in order, with an id.

What is to be told goes into an outbox, a topic of the same log, before the change itself is
stored; and how far the app has been told is in the log too.  So a change that is stored is told,
however the server ends in between.  One is told twice where the server ended between the call
and its note: the id is the same then.

Rules: one call at a time for each node, so that they come in order; and an app that cannot be
asked is asked again, while one that fails has been told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import msgspec
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger

from takotwist.core.authorization import Drop, Frame
from takotwist.core.channel import Lifecycle
from takotwist.core.json_values import JsonObject
from takotwist.core.log import Appended
from takotwist.core.roster_messages import JOIN, LEAVE, Change
from takotwist.core.topic import EVERYTHING, Draft, Message, Topic
from takotwist.errors import AuthUnavailable, Refusal, StoreUnavailable
from takotwist.flow.publish import PublisherService
from takotwist.ports import IAuthorizer, IReplayLog

#: What is not told within a day is not told: an app that was away for longer asks for the list.
OUTBOX = Lifecycle(replay_window_ms=24 * 3600 * 1000, replay_max_messages=100_000)

#: Calls between two notes of how far it has come, and most messages read at once.
STEP, STEP_BYTES = 64, 2**20

#: Seconds before an app that could not be asked is asked again, at first and at most.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0

KINDS = {JOIN: "join", LEAVE: "leave"}


class _Told(msgspec.Struct):
    channel: str
    params: JsonObject
    member: msgspec.Raw


@attrs.define(slots=True, eq=False)
class PresenceHooks:
    """The outbox of this node.

    :ivar node: see `PresenceService`.
    :ivar later: calls a function after so many seconds.
    """

    log: IReplayLog
    publishing: PublisherService
    authorizer: IAuthorizer
    later: Callable[..., object]
    node: str
    _running: bool = attrs.field(default=False, init=False)
    _again: bool = attrs.field(default=False, init=False)
    _stopped: bool = attrs.field(default=False, init=False)
    _done: int | None = attrs.field(default=None, init=False)
    _pause: float = attrs.field(default=FIRST_PAUSE, init=False)
    _logger: Logger = attrs.field(factory=Logger, init=False)

    def put(self, topic: Topic, changes: Sequence[Change]) -> None:
        """Changes are about to be stored; to be called before that, in the same turn."""
        drafts = [
            Draft(
                KINDS[change.type],
                msgspec.json.encode(
                    _Told(topic.channel, dict(topic.params), msgspec.Raw(change.data))
                ),
            )
            for change in changes
            if change.type in KINDS
        ]
        if drafts:
            storing = self.publishing.publish(self._topic("outbox"), drafts, OUTBOX)
            # Where it fails the change does too, and both come again.
            storing.addCallbacks(lambda _: self.wake(), lambda _: None)

    def wake(self) -> None:
        """There may be something to tell."""
        if self._stopped:
            return
        if self._running:
            self._again = True
            return
        self._running = True
        ensureDeferred(self._run()).addBoth(self._ran)

    def stop(self) -> None:
        """Tell no more; what is left is told after the next start."""
        self._stopped = True

    def _ran(self, result: object) -> None:
        self._running = False
        if self._again:
            self._again = False
            self.wake()

    async def _run(self) -> None:
        try:
            while not self._stopped and await self._step():
                pass
            self._pause = FIRST_PAUSE
        except (AuthUnavailable, StoreUnavailable):
            if not self._stopped:
                self.later(self._pause, self.wake)
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
        except Exception:
            self._logger.failure("telling the app who came and left failed")

    async def _step(self) -> bool:
        """Tell a few.  Whether there may be more."""
        if self._done is None:
            page = await self.log.read(self._topic("done"), EVERYTHING, 1, STEP_BYTES)
            self._done = int(page.messages[0].data) if page.messages else EVERYTHING
        page = await self.log.read(self._topic("outbox"), self._done, STEP, STEP_BYTES)
        told = self._done
        try:
            for message in page.messages:
                if self._stopped:
                    break
                await self._tell(message)
                told = message.id
        finally:
            if told != self._done:
                await self._note(told)
                self._done = told
        return bool(page.messages)

    async def _tell(self, message: Message) -> None:
        said = msgspec.json.decode(message.data, type=_Told)
        member = msgspec.json.decode(said.member)
        data = msgspec.json.encode({"id": str(message.id), **member})
        kind = {name: kind for kind, name in KINDS.items()}[message.type]
        frame = Frame(said.channel, said.params, kind, data, member["subject"])
        try:
            verdict = await self.authorizer.dispatch(frame)
        except AuthUnavailable:
            raise
        except Refusal as refusal:
            verdict = Drop(refusal.sentence)
        if isinstance(verdict, Drop) and verdict.error:
            self._logger.warn("the app was told of {kind} and failed", kind=message.type)

    def _note(self, told: int) -> Deferred[Appended]:
        return self.publishing.publish(
            self._topic("done"),
            [Draft("done", b"%d" % told)],
            Lifecycle(),
            keys=("done",),
            kept=True,
        )

    def _topic(self, what: str) -> Topic:
        return Topic.of("~presence", {"hooks": what, "on": self.node})
