"""The life of presence: what begins with the server, and what does not begin any more."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist import Presence, define_channel
from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.testing.manual_log import ManualLog
from takotwist.testing.world import BEGINNING, World, WorldClock


class StopTests(SynchronousTestCase):
    """A server that stops."""

    def test_before_it_has_begun(self) -> None:
        """While the log is read at the start: nothing begins by what was read."""
        clock = WorldClock()
        clock.rightNow = BEGINNING
        log = ManualLog(InMemoryReplayLog(clock))
        world = World(define_channel("crew", presence=Presence()), log=log, clock=clock)
        self.assertGreater(log.reads_waiting, 0)
        presence = world.parts.presence
        presence.stop()
        while log.reads_waiting:
            log.answer()
        presence.store.events.hooks.put("join", b"{}", "crew")
        log.settle()
        world.advance(5)
        self.assertEqual((log.reads_waiting, log.appends_waiting), (0, 0))
