"""Clients and apps of Pusher's that leave in the middle of what they have asked for."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.testing.manual_log import ManualLog
from takotwist.testing.world import BEGINNING, WorldClock
from tests.facades.pusher.here import Here


class AppLeftTests(SynchronousTestCase):
    """A library that waits no longer for the answer."""

    def test_left_out(self) -> None:
        """The event is stored all the same, and the client that it names is not given it."""
        clock = WorldClock()
        clock.rightNow = BEGINNING
        log = ManualLog(InMemoryReplayLog(clock))
        here = Here.of(world={"log": log, "clock": clock})
        here.world.parts.log.head = 1
        ann, bob = here.connect(), here.connect()
        for client in (ann, bob):
            client.subscribe("news")
        log.settle()
        here.trigger("news", "hi", "1", socket_id=ann.socket_id).leave()
        log.settle()
        self.assertEqual([len(one.events) for one in (ann, bob)], [1, 2])
