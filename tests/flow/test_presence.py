"""The life of presence: what begins with the server, and what does not begin any more."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist import Grant, Presence, define_channel
from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.flow.presence_store import RosterStore
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


class UnexpectedTests(SynchronousTestCase):
    """Something fails that nobody has thought of."""

    def setUp(self) -> None:
        channel = define_channel("crew", presence=Presence())
        channel.verify(header=None)(lambda request: Grant(subject="ada"))
        self.world = World(channel)
        self.presence = self.world.parts.presence

    def here(self) -> list[str]:
        members = self.world.get("/channels/crew/presence").json["members"]
        return [one["subject"] for one in members]

    def test_looks_again(self) -> None:
        """Whatever it was, what is to be stored is stored later, once."""
        for broken in ("tell", "append", "index"):
            patched = self.patch(RosterStore, broken, lambda *arguments, **named: 1 / 0)
            stream = self.world.subscribe("/channels/crew")
            self.world.advance(3)
            self.assertGreater(len(self.flushLoggedErrors(ZeroDivisionError)), 0)
            patched.restore()
            self.world.advance(2)
            self.assertEqual(self.here(), ["ada"], broken)
            stream.leave()
            self.world.advance(15)
            self.assertEqual((self.here(), len(self.presence)), ([], 0), broken)
