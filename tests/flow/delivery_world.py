"""The delivery path over a log that answers when told, and clients that a test can clog."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.codecs.wire_forms import WireForm
from takotwist.core.channel import Lifecycle
from takotwist.core.deadlines import Deadlines
from takotwist.core.fanout import FanOut, Subscription
from takotwist.core.metrics import Metrics
from takotwist.core.send_queue import FlushBatch, SendQueue
from takotwist.core.tail import Tails
from takotwist.core.topic import Draft, Topic
from takotwist.errors import Refusal, ReplayTooOld, StoreUnavailable
from takotwist.flow.attach import Attacher
from takotwist.flow.follow import Follower
from takotwist.flow.followed import FollowedTopics
from takotwist.flow.publish import PublisherService
from takotwist.flow.read_log import SharedReads
from takotwist.testing.manual_log import ManualLog

#: A wire form that a test can read back: the id and a separator.
PLAIN = WireForm("plain", lambda message: b"%d " % message.id)
TOPICS = [Topic.of("chat", {"roomId": room}) for room in "ab"]


class Client:
    """One subscriber, with a connection that the test can clog.

    :ivar newest: the newest message when it began, where it asked for that.
    """

    def __init__(
        self,
        world: DeliveryWorld,
        topic: Topic,
        cursor: int | None,
        reset: bool,
        at_once: bool = False,
        straight: bool = False,
        keyed: bool = False,
    ) -> None:
        self.world = world
        self.topic = topic
        self.asked = cursor
        self.cursor: int | None = None
        self.was_reset = False
        self.received: list[int] = []
        self.newest = 0
        self.ended: Refusal | None = None
        self.clogged = False
        self.send_queue = SendQueue(limit=200, flush_batch=world.flush_batch)
        send = self.send if straight else None
        self.send_queue.connect(PLAIN, self.write, at_once=at_once, send=send)
        self.subscription = Subscription(
            topic, world.window_us, self.send_queue, self.opened, self.end, keyed=keyed
        )
        world.clients.append(self)
        world.attacher.attach(self.subscription)
        starting = ensureDeferred(world.attacher.start(self.subscription, cursor, reset))
        starting.addErrback(self.refused)

    def write(self, blob: bytes) -> None:
        self.received += map(int, blob.split())
        if self.clogged:
            self.send_queue.paused = True

    def send(self, blob: bytes) -> int:
        assert not self.send_queue.paused, "it overtakes what the transport holds"
        if self.clogged:
            raise BlockingIOError
        self.write(blob)
        return len(blob)

    def opened(self, cursor: int, reset: ReplayTooOld | None) -> None:
        assert self.cursor is None, "opened twice"
        self.cursor = cursor
        self.was_reset = reset is not None

    def refused(self, failure: Any) -> None:
        failure.trap(Refusal)
        self.end(failure.value)

    def end(self, refusal: Refusal) -> None:
        assert self.ended is None, "ended twice"
        self.ended = refusal

    def unclog(self) -> None:
        self.clogged = False
        if self.send_queue.paused and self.ended is None:
            self.world.attacher.resumed(self.send_queue)

    def leave(self) -> None:
        self.world.attacher.detach(self.subscription)
        self.send_queue.discard()


class DeliveryWorld:
    """The delivery path over a log that answers when told."""

    def __init__(
        self,
        tail_bytes: int,
        lifecycle: Lifecycle,
        clock: Clock | None = None,
        inner: Any = None,
        log: Any = None,
    ) -> None:
        """:param inner: the log of one node among others, which answers at once.
        :param log: one that answers by itself.
        """
        self.clock = clock or Clock()
        if clock is None:
            self.clock.advance(1_000_000.0)
        self.lifecycle = lifecycle
        self.window_us = lifecycle.replay_window_ms * 1000
        self.inner = log or inner or InMemoryReplayLog(self.clock)
        self.log = log or ManualLog(self.inner)
        self.flush_batch, self.deadlines = FlushBatch(), Deadlines()
        self.fanout = FanOut(
            self.flush_batch, lambda: [one.send for one in self.clients if one.send_queue.paused]
        )
        self.tails, self.metrics = Tails(tail_bytes, 4 * tail_bytes), Metrics()
        self.followed = FollowedTopics(self.log, self.tails, self.deadlines, self.clock.seconds)
        self.attacher = Attacher(
            self.log,
            self.followed,
            SharedReads(self.log, self.followed, self.tails, self.metrics),
            self.fanout,
            self.tails,
            self.metrics,
            self.deadlines,
            self.clock.seconds,
            self.clock.seconds,
        )
        self.follower = Follower(
            self.fanout,
            self.tails,
            self.attacher,
            self.followed,
            self.flush_batch,
            self.metrics,
            self.clock.seconds,
            self.clock.seconds,
        )
        self.publishing = PublisherService(
            self.log,
            self.follower,
            self.flush_batch,
            self.metrics,
            self.clock.seconds,
            self.clock.seconds,
        )
        self.log.start(self.follower)
        self.stored: dict[str, list[int]] = {topic.key: [] for topic in TOPICS}
        self.clients: list[Client] = []

    def publish(self, topic: Topic, count: int, size: int = 5) -> None:
        drafts = [Draft("m", b'"%s"' % (b"x" * size))] * count

        def stored(appended: Any) -> None:
            self.stored[topic.key] += [message.id for message in appended.messages]

        publishing = self.publishing.publish(topic, drafts, self.lifecycle)
        publishing.addCallbacks(stored, lambda failure: failure.trap(StoreUnavailable) and None)

    def settle(self) -> None:
        for client in self.clients:
            client.unclog()
        for _ in range(50):
            self.log.settle()
            self.clock.advance(1.0)
            for action in self.deadlines.tick(self.clock.seconds()):
                action()
            if not (self.log.appends_waiting or self.log.reads_waiting or len(self.deadlines)):
                break
