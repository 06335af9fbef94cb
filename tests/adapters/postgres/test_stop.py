"""The end of a log while it is at work."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.adapters.postgres.clocked import World
from tests.contracts.replay_log import LOBBY, NOW, entry


class StopTests(SynchronousTestCase):
    """A stop is no trouble of the engine's."""

    def test_what_is_under_way(self) -> None:
        """All of it is answered, one way or the other, and nothing is said of the engine; a log
        that is started again says what goes wrong."""
        world = World(NOW)
        self.addCleanup(world.close)
        log = world.log()
        world.reactor.wait(log.start())
        answers: list[object] = []
        with capturedLogs() as events:
            asked: list[Deferred[Any]] = [
                log.append([entry(LOBBY, "a")], NOW),
                log.sweep(NOW, ()),
                log.follow(LOBBY),
                log.newest(),
                log.nodes(),
                *(log.read(LOBBY, 0, 10, 1000) for _ in range(5)),
            ]
            for one in asked:
                one.addBoth(answers.append)
            world.reactor.wait(log.stop())
        self.assertEqual(len(answers), len(asked))
        said = [formatEvent(event) for event in events if event["log_level"] >= LogLevel.warn]
        self.assertEqual(said, [])
        world.reactor.wait(log.start())
        self.assertFalse(log.engine.condition.stopped)
        world.reactor.wait(log.stop())
