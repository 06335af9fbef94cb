"""The lease: one node at a time does what is done for all."""

from __future__ import annotations

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.adapters.memory.node import MemoryNode, MemoryStore
from takotwist.core.channel import Lifecycle
from takotwist.errors import StoreUnavailable
from takotwist.flow.lease import SLOT_SECONDS, Lease
from tests.flow.delivery_world import DeliveryWorld


class LeaseTests(SynchronousTestCase):
    """Two nodes with one store, at the beginning of a slot."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000 * SLOT_SECONDS)
        log = InMemoryReplayLog(self.clock)
        log.start()
        self.store = MemoryStore(log)
        self.log = MemoryNode(self.store, "a")
        self.one, self.two = self.lease(self.log), self.lease(MemoryNode(self.store, "b"))

    def lease(self, log: MemoryNode) -> Lease:
        world = DeliveryWorld(2_000, Lifecycle(), self.clock, log=log)
        return Lease(world.publishing, log.name)

    def renewed(self, lease: Lease) -> bool:
        return bool(self.successResultOf(ensureDeferred(lease.renew())))

    def test_first(self) -> None:
        """The first to ask has it, for as long as the slot; nobody has it unasked."""
        self.assertFalse(self.one.held)
        self.assertTrue(self.renewed(self.one))
        self.assertFalse(self.renewed(self.two))
        self.assertEqual((self.one.held, self.two.held), (True, False))
        self.clock.advance(SLOT_SECONDS - 0.001)
        self.assertTrue(self.one.held)
        self.clock.advance(0.001)
        self.assertEqual((self.one.held, self.two.held), (False, False))

    def test_kept(self) -> None:
        """Whoever has it asks for the next slot before others may, and keeps it."""
        self.renewed(self.one)
        for _ in range(3):
            self.clock.advance(SLOT_SECONDS * 0.6)
            self.assertTrue(self.renewed(self.one))
            self.assertFalse(self.renewed(self.two))
            self.clock.advance(SLOT_SECONDS * 0.4)
            self.assertFalse(self.renewed(self.two))
            self.assertTrue(self.one.held)

    def test_not_too_early(self) -> None:
        """In the first half of a slot nobody asks for the next one."""
        self.renewed(self.one)
        self.clock.advance(SLOT_SECONDS * 0.5)
        self.renewed(self.one)
        self.clock.advance(SLOT_SECONDS * 0.5)
        self.assertFalse(self.one.held)
        self.assertTrue(self.renewed(self.two))
        self.assertFalse(self.renewed(self.one))

    def test_taken_over(self) -> None:
        """Of a node that asks no more another has it after the slot, and not before."""
        self.renewed(self.one)
        self.clock.advance(SLOT_SECONDS * 0.9)
        self.assertFalse(self.renewed(self.two))
        self.clock.advance(SLOT_SECONDS * 0.1)
        self.assertTrue(self.renewed(self.two))
        self.assertFalse(self.one.held)

    def test_clock_set_back(self) -> None:
        """By an hour: whoever has it has it for no hour more, and another gets it as before."""
        self.renewed(self.one)
        self.clock.rightNow -= 3600
        self.assertFalse(self.one.held)
        self.assertTrue(self.renewed(self.two))
        self.assertFalse(self.renewed(self.one))
        # Nobody asks any more who is gone.
        self.clock.advance(SLOT_SECONDS)
        self.assertTrue(self.renewed(self.one))

    def test_clock_set_forward(self) -> None:
        """For a moment: what was had then is not waited for."""
        self.clock.rightNow += 86_400
        self.renewed(self.one)
        self.renewed(self.two)
        self.clock.rightNow -= 86_400
        self.assertFalse(self.one.held)
        self.assertTrue(self.renewed(self.two))
        self.assertFalse(self.renewed(self.one))

    def test_asked_once(self) -> None:
        """However often it is looked at, a slot costs a node one append, and the store one row."""
        self.renewed(self.one)
        self.renewed(self.two)
        before = self.store.log.head
        appended: list[object] = []
        append = self.log.append
        self.patch(self.log, "append", lambda *args: appended.append(args) or append(*args))
        for _ in range(5):
            self.renewed(self.one)
            self.renewed(self.two)
            self.clock.advance(SLOT_SECONDS * 0.05)
        self.assertEqual((self.store.log.head, appended), (before, []))

    def test_store_away(self) -> None:
        """What could not be asked is no lease, and is asked again."""
        self.log.cut()
        self.failureResultOf(ensureDeferred(self.one.renew()), StoreUnavailable)
        self.assertFalse(self.one.held)
        self.log.mend()
        self.assertTrue(self.renewed(self.one))

    def test_alone(self) -> None:
        """Who has its store alone has the lease always, and stores nothing for it."""
        world = DeliveryWorld(2_000, Lifecycle(), self.clock)
        lease, before = Lease(world.publishing, "a"), world.log.head
        self.assertTrue(lease.held)
        self.assertTrue(self.renewed(lease))
        self.clock.advance(3 * SLOT_SECONDS)
        self.assertTrue(lease.held)
        self.assertEqual((world.log.head, world.log.appends_waiting), (before, 0))
