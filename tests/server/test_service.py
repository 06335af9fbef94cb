"""The end of a running server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.flow.presence import PresenceService
from takotwist.flow.presence_kicks import PresenceKicks
from takotwist.flow.publish import PublisherService
from takotwist.server.config import Config, Replay
from takotwist.server.listeners import Listeners
from takotwist.server.service import TakoService
from takotwist.testing.world import WorldClock


class Log(InMemoryReplayLog):
    """Remembers that it was closed."""

    closed = False

    def stop(self) -> Deferred[None]:
        """See `IReplayLog`."""
        self.closed = True
        return super().stop()


class StopTests(SynchronousTestCase):
    """A stop in which a step fails: those that store and close come all the same."""

    def setUp(self) -> None:
        folder = Path(self.mktemp()).resolve()
        config = Config(state_dir=folder, replay=Replay(path=folder / "replay.db"))
        self.log = Log(WorldClock())
        reactor: Any = MemoryReactorClock()
        self.service = TakoService(config, reactor, make_log=lambda *_: self.log)
        for timer in list(self.service):
            # It was not started, and does not take to be stopped.
            self.service.removeService(timer)

    def stopped_after(self, part: type[Any], name: str) -> list[str]:
        """What was stopped although this failed."""
        stopped: list[str] = []
        for other in (PresenceService, PresenceKicks, PublisherService):
            self._note(other, stopped)
        self.patch(part, name, lambda *arguments: 1 / 0)
        self.successResultOf(self.service.stopService())
        self.assertTrue(self.log.closed)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        return stopped

    def _note(self, part: type[Any], stopped: list[str]) -> None:
        stop = part.stop

        def noted(one: Any) -> object:
            stopped.append(part.__name__)
            return stop(one)

        self.patch(part, "stop", noted)

    def test_listeners(self) -> None:
        """They cannot be closed."""
        stopped = self.stopped_after(Listeners, "close")
        self.assertEqual(stopped, ["PresenceService", "PresenceKicks", "PublisherService"])

    def test_part(self) -> None:
        """A part cannot be stopped."""
        stopped = self.stopped_after(PresenceService, "stop")
        self.assertEqual(stopped, ["PresenceKicks", "PublisherService"])

    def test_sessions(self) -> None:
        """The pages' functions fail as they hear of it."""
        stopped = self.stopped_after(type(self.service.live.sessions), "close")
        self.assertEqual(stopped, ["PresenceService", "PresenceKicks", "PublisherService"])
