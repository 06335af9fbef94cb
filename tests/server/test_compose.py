"""The composition: finished when it is returned, and without an effect of its own."""

from __future__ import annotations

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.authorize_local import LocalAuthorizer
from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.admin.health import HEALTH_PATH, Health
from takotwist.admin.metrics import METRICS_PATH
from takotwist.core.channel import Registry
from takotwist.core.log import BATCH, BATCH_BYTES, SHARED_BATCH, SHARED_BATCH_BYTES
from takotwist.live.broadcast.broadcast import (
    Broadcast,
    default_broadcasts,
    set_default_broadcasts,
)
from takotwist.server.compose import compose
from takotwist.server.config import Config, Limits
from takotwist.server.config.sections import Replay
from takotwist.server.parts import Parts
from tests.adapters.stepped_threads import SteppedPool


class ComposeTests(SynchronousTestCase):
    """Servers that are put together and not started."""

    def setUp(self) -> None:
        self.addCleanup(set_default_broadcasts, default_broadcasts())

    def composed(self, config: Config | None = None) -> Parts:
        """A server without a bus of its own."""
        clock, pool = Clock(), SteppedPool()
        return compose(
            config or Config(),
            reactor=clock,
            wall=clock.seconds,
            random=lambda: 0.5,
            new_id=lambda: "c1",
            log=InMemoryReplayLog(clock),
            registry=Registry(),
            authorizer=LocalAuthorizer((), clock, pool),
            pool=pool,
            health=lambda: Health(True),
        )

    def test_finished(self) -> None:
        """Live objects are on the public listeners alone; metrics on the private one alone."""
        parts = self.composed()
        public, private = parts.admissions
        self.assertIsNotNone(public.live)
        self.assertIsNone(private.live)
        self.assertIsNotNone(parts.public.live)
        self.assertIsNone(parts.private.live)
        self.assertIn(HEALTH_PATH, parts.public.pages)
        self.assertNotIn(METRICS_PATH, parts.public.pages)
        self.assertIn(METRICS_PATH, parts.private.pages)

    def test_batches(self) -> None:
        """Of a store that several servers share a transaction is short; what may wait for one is
        as configured."""
        limits = Limits(pending_appends=7, pending_append_bytes=2**20)
        shared = Config(replay=Replay(url="postgresql://db.example/app"), limits=limits)
        one = self.composed(Config(limits=limits)).publishing.group
        other = self.composed(shared).publishing.group
        self.assertEqual((one.max_batch, one.max_batch_bytes), (BATCH, BATCH_BYTES))
        self.assertEqual(
            (other.max_batch, other.max_batch_bytes), (SHARED_BATCH, SHARED_BATCH_BYTES)
        )
        for group in (one, other):
            self.assertEqual((group.max_waiting, group.max_waiting_bytes), (7, 2**20))

    def test_default_broadcasts(self) -> None:
        """What is put together is not yet what `Broadcast` means; then the newest server is.

        Whoever subscribed before a server was there hears what is published through it.
        """
        before = default_broadcasts()
        heard: list[object] = []
        self.addCleanup(Broadcast.subscribe("early", lambda data, info: heard.append(data)))
        parts = self.composed()
        self.assertIs(default_broadcasts(), before)
        mine = parts.live.services.broadcasts
        self.assertIs(mine.bus, before.bus)
        set_default_broadcasts(attrs.evolve(mine, run=lambda call: call()))
        Broadcast.publish("early", 1)
        self.assertEqual(heard, [1])

    def test_two_servers(self) -> None:
        """A later server takes nothing from an earlier one: each keeps its own log."""
        first, second = self.composed(), self.composed()
        durable = first.live.services.broadcasts.durable
        self.assertIsNotNone(durable)
        self.assertIsNot(durable, second.live.services.broadcasts.durable)
