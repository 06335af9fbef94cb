"""connection -> ... -> attach (gate closed) -> replay -> gate opens -> live -> detach

The subscriber joins the fan-out first and is given history second, so nothing
can be published in between unseen.  `core.replay` decides; this file reads
pages, writes them, and waits for slow connections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import attrs
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger

from takotwist.core.deadlines import Deadlines
from takotwist.core.fanout import FanOut, Subscription
from takotwist.core.metrics import Metrics
from takotwist.core.replay import Gate
from takotwist.core.send_queue import SendQueue
from takotwist.core.tail import Item, Tails
from takotwist.core.topic import EVERYTHING, NEWEST
from takotwist.errors import (
    AuthUnavailable,
    CursorInvalid,
    InternalError,
    Refusal,
    ReplayTooOld,
    StoreUnavailable,
)
from takotwist.flow.followed import FollowedTopics
from takotwist.flow.read_log import PAGE_BYTES, ReadPage, SharedReads
from takotwist.ports import IReplayLog

#: Seconds after which a reader that is behind tries again when the log fails.
RETRY_SECONDS = 1.0


@attrs.define(slots=True)
class Attacher:
    """Brings subscribers up to their topics and keeps them there.

    :ivar wall: unix time in seconds.
    :ivar seconds: the clock of `deadlines`.
    """

    log: IReplayLog
    followed: FollowedTopics
    reads: SharedReads
    fanout: FanOut
    tails: Tails
    metrics: Metrics
    deadlines: Deadlines
    wall: Callable[[], float]
    seconds: Callable[[], float]
    #: Those whose topic is not followed yet.
    _joining: dict[Subscription, Deferred[None]] = attrs.field(factory=dict, init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    def attach(self, subscription: Subscription) -> None:
        """Join the topic, gate closed, or begin to.  Follow with `start`."""
        joining = self.followed.enter(subscription.topic)
        if joining is None:
            self.fanout.attach(subscription, self.log.head)
        else:
            self._joining[subscription] = joining
        self.metrics.subscriptions += 1

    def detach(self, subscription: Subscription) -> None:
        """Leave the topic; nothing is delivered from here on.  Harmless when repeated."""
        if subscription.ended:
            return
        self.metrics.subscriptions -= 1
        subscription.send_queue.waiting.pop(subscription, None)
        self.fanout.detach(subscription)
        self.followed.leave(subscription.topic)
        key = subscription.topic.key
        if subscription.forgotten_when_idle and key not in self.fanout:
            # From here on the log may drop the topic, and the tail must not know better.
            self.tails.forget(key)

    async def start(
        self, subscription: Subscription, cursor: int | None, reset_when_stale: bool
    ) -> bool:
        """Begin an attached subscription.

        :param cursor: resume after this id, `EVERYTHING` for the whole window, `NEWEST` for
            the latest state, `None` for what is published from now on.
        :param reset_when_stale: begin anew, saying so, instead of refusing a
            cursor that cannot be resumed.
        :return: whether it began; `False` where it was detached meanwhile.
        :raises Refusal: it cannot begin; it is detached.
        """
        try:
            joining = self._joining.pop(subscription, None)
            if joining is not None:
                await joining
                if subscription.ended:
                    return False
                self.fanout.attach(subscription, self.log.head)
            return await self._start(subscription, cursor, reset_when_stale)
        except Refusal:
            self.detach(subscription)
            raise

    async def _start(
        self, subscription: Subscription, cursor: int | None, reset_when_stale: bool
    ) -> bool:
        if not self.log.head and (cursor is None or not (self.log.everything or cursor > 0)):
            # Without a head there is no cursor to give, and so no promise: what is read of a
            # shared log would be cut to nothing, and pass for all that there is.
            raise StoreUnavailable
        if cursor is None:
            return self._begin(subscription, self.log.head)
        if cursor == NEWEST:
            if subscription.state is not None:
                return await self._start_with_state(subscription)
            if not subscription.keyed:
                return await self._start_at_newest(subscription)
            # Of a topic with keys all that it holds is the latest state.
            cursor = EVERYTHING
        if cursor > self.log.head and not self.log.everything:
            # From a node that is ahead of this one, as a rule.
            subscription.busy = True
            try:
                await self.followed.reach(cursor)
            except CursorInvalid as cannot:
                if not reset_when_stale or subscription.ended:
                    raise
                subscription.busy = False
                return await self._anew(subscription, cannot)
            finally:
                subscription.busy = False
            if subscription.ended:
                return False
        subscription.replay.position = cursor
        items = self._tail(subscription)
        if items is not None:
            if cursor > self.log.head:
                if not reset_when_stale:
                    raise CursorInvalid("The cursor is newer than any message of this server.")
                return await self._anew(subscription, CursorInvalid())
            return self._begin(subscription, cursor if items else self.log.head)
        subscription.busy = True
        try:
            read = await self._read(subscription)
        finally:
            subscription.busy = False
        if subscription.ended:
            return False
        try:
            read.page.judge(cursor)
        except (CursorInvalid, ReplayTooOld) as cannot:
            if not reset_when_stale:
                raise
            return await self._anew(subscription, cannot)
        if cursor == EVERYTHING and subscription.keyed:
            subscription.whole_from = read.page.head
        nothing = not read.items and not read.page.more
        return self._begin(subscription, read.page.head if nothing else cursor, read=read)

    async def _anew(self, subscription: Subscription, cannot: Refusal) -> bool:
        """Begin where it still can, saying that it was not where the client was."""
        if subscription.state is not None:
            return await self._start_with_state(subscription, cannot)
        if not self.log.head:
            raise StoreUnavailable
        # Of a topic with keys all that it holds is the way back to what is.
        position = EVERYTHING if subscription.keyed else self.log.head
        return self._begin(subscription, position, cannot)

    async def _start_with_state(
        self, subscription: Subscription, reset: Refusal | None = None
    ) -> bool:
        """Begin with the state that the app gives, and with what is behind it in the log."""
        assert subscription.state is not None
        too_old = 0
        subscription.busy = True
        try:
            while True:
                state = await subscription.state(too_old)
                if subscription.ended or await self._reaches(subscription, state.id):
                    break
                too_old = state.id
        finally:
            subscription.busy = False
        if subscription.ended:
            return False
        subscription.first = state
        subscription.replay.position = state.id
        # Whoever is cut off before it has the state is to ask for it again.
        subscription.on_open(NEWEST, reset)
        self._continue(subscription)
        return not subscription.ended

    async def _reaches(self, subscription: Subscription, position: int) -> bool:
        """Tell whether the tail or the log has all messages after `position`."""
        if position > self.log.head:
            try:
                await self.followed.reach(position)
            except CursorInvalid:
                self._log.error(
                    "a state is as of {position}, which is no cursor", position=position
                )
                raise AuthUnavailable from None
        subscription.replay.position = position
        if subscription.ended or self._tail(subscription) is not None:
            return True
        read = await self._read(subscription)
        try:
            read.page.judge(position)
        except ReplayTooOld:
            return False
        return True

    async def _start_at_newest(self, subscription: Subscription) -> bool:
        """Begin with the newest message, which is the first that is given."""
        item = self.tails.newest(subscription.topic.key, int(self.wall() * 1_000_000))
        if item is not None:
            return self._begin(subscription, item.id - 1)
        head, topic = self.log.head, subscription.topic
        subscription.busy = True
        try:
            read = await self.reads.after(topic, NEWEST, subscription.window_us)
            while read.page.head < head and not subscription.ended:
                # A read that was under way already: what is newest may have come since.
                read = await self.reads.after(topic, NEWEST, subscription.window_us)
        finally:
            subscription.busy = False
        if subscription.ended:
            return False
        if read.items:
            # Given from this page: read again it might have expired, and be too old.
            return self._begin(subscription, read.items[0].id - 1, read=read)
        # There is none, or it is reported in a moment, and is then the first.
        return self._begin(subscription, read.page.head)

    def _begin(
        self,
        subscription: Subscription,
        position: int,
        reset: Refusal | None = None,
        read: ReadPage | None = None,
    ) -> bool:
        subscription.replay.position = position
        subscription.on_open(position, reset)
        if read is not None and not subscription.ended:
            self._take(subscription, read)
        self._continue(subscription)
        return not subscription.ended

    def lagging(self, subscriptions: Iterable[Subscription]) -> None:
        """These could not take a live message: continue them as they can."""
        for subscription in subscriptions:
            self.metrics.catch_ups += 1
            self._continue(subscription)

    def interrupted(self, key: str, last_id: int) -> list[Subscription]:
        """Messages up to `last_id` were stored, and handing them to the topic's readers failed.

        A reader that was live may have been given any part of them: it is ended, and its
        client resumes from what it has really seen.  To continue it here would be to
        guess, and to give a message twice or not at all.

        :return: the readers to be continued from the log; pass them to `lagging`.
        """
        # It may lack them, and then would answer with a gap.
        self.tails.forget(key)
        live, behind = self.fanout.interrupted(key, last_id)
        for subscription in live:
            self._end(subscription, InternalError())
        return behind

    def resumed(self, send_queue: SendQueue) -> None:
        """The connection takes bytes again: continue what waits for it."""
        send_queue.paused = False
        for subscription in list(send_queue.waiting):
            if send_queue.paused:
                return
            go_on = send_queue.waiting.pop(subscription, None)
            # What went on before it may have had it left.
            if go_on is not None:
                go_on()

    def _continue(self, subscription: Subscription) -> None:
        """Bring a subscriber with a closed gate as far as its connection allows."""
        try:
            if subscription.busy or self._settled(subscription):
                return
        except Exception:
            self._failed(subscription)
            return
        ensureDeferred(self._catch_up(subscription))

    async def _catch_up(self, subscription: Subscription) -> None:
        subscription.busy = True
        try:
            while not self._settled(subscription):
                position = subscription.replay.position
                read = await self._read(subscription)
                if not subscription.ended:
                    if position == EVERYTHING and subscription.keyed:
                        subscription.whole_from = read.page.head
                    read.page.judge(max(position, subscription.whole_from))
                    self._take(subscription, read)
        except StoreUnavailable:
            # The connection is well, only the log is not: it waits.
            self.deadlines.at(self.seconds() + RETRY_SECONDS, lambda: self._continue(subscription))
        except Refusal as refusal:
            self._end(subscription, refusal)
        except Exception:
            self._failed(subscription)
        finally:
            subscription.busy = False

    def _failed(self, subscription: Subscription) -> None:
        """End a reader that cannot be continued; left as it is it would wait for ever."""
        self._log.failure("continuing a reader failed")
        self._end(subscription, InternalError())

    def _end(self, subscription: Subscription, refusal: Refusal) -> None:
        if subscription.ended:
            return
        self.detach(subscription)
        try:
            subscription.on_end(refusal)
        except Exception:
            # Others are to be ended after it.
            self._log.failure("ending a subscription failed")

    def _settled(self, subscription: Subscription) -> bool:
        """Give what the tail has.  Whether that was all there is to do now.

        Settled is who is live, gone, or on a connection that is full; who is not
        settled needs a page of the log.
        """
        send_queue, replay = subscription.send_queue, subscription.replay
        while replay.gate is Gate.CLOSED:
            send_queue.flush()
            if send_queue.paused:
                send_queue.waiting[subscription] = partial(self._continue, subscription)
                return True
            if subscription.first is not None:
                # Nothing waits, so whatever its size it is taken.
                first, subscription.first = subscription.first, None
                send_queue.push(first.frame(send_queue.form))
                continue
            if self.fanout.open_gate(subscription, self.log.head):
                if subscription.on_live is not None:
                    on_live, subscription.on_live = subscription.on_live, None
                    on_live()
                return True
            items = self._tail(subscription)
            if items is None:
                return False
            if items:
                self._give(subscription, items)
            else:
                replay.reached(self.log.head)
        return True

    def _tail(self, subscription: Subscription) -> Sequence[Item] | None:
        key = subscription.topic.key
        now_us = int(self.wall() * 1_000_000)
        items = self.tails.after(key, subscription.replay.position, PAGE_BYTES, now_us)
        if items is not None:
            self.metrics.tail_reads += 1
        return items

    def _read(self, subscription: Subscription) -> Deferred[ReadPage]:
        return self.reads.after(
            subscription.topic, subscription.replay.position, subscription.window_us
        )

    def _take(self, subscription: Subscription, read: ReadPage) -> None:
        subscription.send_queue.flush()
        taken = not read.items or self._give(subscription, read.items)
        if taken and not read.page.more:
            subscription.replay.reached(read.page.head)

    def _give(self, subscription: Subscription, items: Sequence[Item]) -> bool:
        form = subscription.send_queue.form
        if not subscription.send_queue.push(b"".join([item.frame(form) for item in items])):
            return False
        subscription.replay.given(items)
        self.metrics.deliveries += len(items)
        return True
