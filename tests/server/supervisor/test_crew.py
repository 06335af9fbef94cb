"""The processes of the server, by a clock and processes that are none."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.supervisor.crew import (
    LINGER_SECONDS,
    OUTDATED_SECONDS,
    RELOAD_SECONDS,
    START_SECONDS,
    TAKE_SECONDS,
    Crew,
    ended_how,
)
from takotwist.server.supervisor.handing import Handing, SharedCounts, Taker
from takotwist.server.supervisor.kinds import Kind
from takotwist.server.supervisor.place import TRIES, PlaceState

STOP_SECONDS = 30.0

#: How a process is asked to stop.
STOP = {"stop": True}

WRITER = Kind(name="writer", entry="writer:make")
WORKERS = Kind(name="worker", entry="worker:make", count=2, stage=1, serves=True)


@attrs.define(eq=False)
class FakeProcess:
    """A process that does what the test says."""

    label: str
    slot: int
    taker: Taker | None
    says: Callable[[Mapping[str, Any]], object]
    ends: Callable[[int], object]
    pid: int
    told: list[Any] = attrs.field(factory=list)
    refuses: bool = False

    def send(self, **message: Any) -> bool:
        """See `Running`."""
        self.told.append(message)
        return not self.refuses

    def signal(self, number: signal.Signals) -> None:
        """See `Running`."""
        self.told.append(number.name)


class CrewTests(SynchronousTestCase):
    """A writer and two workers."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.counts = SharedCounts(4)
        self.addCleanup(self.counts.close)
        self.handing = Handing(self.clock)
        self.launched: list[FakeProcess] = []
        self.no_room = False
        self.ready = 0
        self.hopeless: list[str] = []
        self.crew = self._crew([WORKERS, WRITER])

    def _crew(self, kinds: list[Kind]) -> Crew:
        def ready() -> None:
            self.ready += 1

        return Crew(
            self.clock,
            kinds,
            self._launch,
            self.handing,
            STOP_SECONDS,
            ready,
            self.hopeless.append,
        )

    def _launch(
        self,
        kind: Kind,
        number: int,
        slot: int,
        received: Callable[[Mapping[str, Any]], object],
        ended: Callable[[int], object],
    ) -> FakeProcess:
        if self.no_room:
            raise OSError(11, "Resource temporarily unavailable")
        taker = Taker.of(slot, self.counts, 1) if kind.serves else None
        pid = len(self.launched) + 1
        made = FakeProcess(kind.label(number), slot, taker, received, ended, pid)
        self.launched.append(made)
        if taker is not None:
            self.addCleanup(taker.left)
        return made

    def _is(self, *labels: str) -> list[FakeProcess]:
        """The newest processes, which have these names."""
        newest = self.launched[-len(labels) :]
        self.assertEqual([one.label for one in newest], list(labels))
        return newest

    def _serve(self) -> list[FakeProcess]:
        """Start all; the two workers."""
        self.crew.start()
        self._is("writer")[0].says({"ready": True})
        workers = self._is("worker-1", "worker-2")
        for one in workers:
            one.says({"ready": True})
        self.assertEqual(self.ready, 1)
        return workers

    def _taking(self) -> list[int]:
        return [one.slot for one in self.handing.takers]

    # starting

    def test_start(self) -> None:
        """The writer first; the workers when it is ready; ready when both are."""
        self.crew.start()
        (writer,) = self._is("writer")
        self.assertEqual(len(self.launched), 1)
        writer.says({"ready": True})
        first, second = self._is("worker-1", "worker-2")
        second.says({"ready": True})
        self.assertEqual((self.ready, self.crew.serving, self._taking()), (0, 1, [1]))
        first.says({"ready": True})
        self.assertEqual((self.ready, self.crew.serving, self._taking()), (1, 2, [1, 0]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failed_start(self) -> None:
        """Before all have been ready, the first end is the end of it."""
        self.crew.start()
        self._is("writer")[0].says({"ready": True})
        self._is("worker-1", "worker-2")[0].ends(3)
        self.assertEqual(
            self.hopeless, ["worker-1 ended (exit code 3) before the server was ready"]
        )

    def test_no_room(self) -> None:
        """A system that has no room for the first process is said."""
        self.no_room = True
        self.crew.start()
        self.assertEqual(
            self.hopeless,
            [
                "writer could not be started (Resource temporarily unavailable) before the server"
                " was ready"
            ],
        )

    def test_late(self) -> None:
        """Who does not become ready is killed."""
        self.crew.start()
        (writer,) = self._is("writer")
        self.clock.advance(START_SECONDS - 1)
        self.assertEqual(writer.told, [])
        self.clock.advance(1)
        self.assertEqual(writer.told, ["SIGKILL"])

    # ends

    def test_started_again(self) -> None:
        """After a pause, in the same slot; what it had not taken goes to the other."""
        first, _ = self._serve()
        first.ends(-9)
        self.assertEqual(self._taking(), [1])
        self.clock.advance(0.4)
        self.assertEqual(len(self.launched), 3)
        self.clock.advance(0.1)
        (again,) = self._is("worker-1")
        self.assertEqual(again.slot, first.slot)
        again.says({"ready": True})
        self.assertEqual(self._taking(), [1, 0])
        self.assertEqual((self.ready, self.hopeless), (1, []))

    def test_other_serves(self) -> None:
        """While one serves, the other is tried for ever, at the longest pause."""
        first, _ = self._serve()
        first.ends(1)
        for _ in range(TRIES + 3):
            self.clock.advance(30.0)
            self._is("worker-1")[0].ends(1)
        self.assertEqual(self.hopeless, [])
        self.clock.advance(30.0)
        self._is("worker-1")[0].says({"ready": True})
        self.assertEqual(self.crew.serving, 2)

    def test_hopeless(self) -> None:
        """With none that serves, the tries are counted, and it is said which one failed."""
        first, second = self._serve()
        first.ends(1)
        second.ends(1)
        for _ in range(TRIES - 1):
            self.assertEqual(self.hopeless, [])
            self.clock.advance(30.0)
            for one in self._is("worker-1", "worker-2"):
                one.ends(7)
        self.assertIn("worker-1 ended (exit code 7), as 8 times in a row", self.hopeless[0])

    def test_hopeless_writer(self) -> None:
        """Without a writer nothing can be stored, whoever serves."""
        self._serve()
        self.launched[0].ends(1)
        for _ in range(TRIES - 1):
            self.clock.advance(30.0)
            self._is("writer")[0].ends(1)
        self.assertEqual(len(self.hopeless), 1)

    def test_no_room_later(self) -> None:
        """A process that cannot be started counts as one that ended."""
        first, _ = self._serve()
        first.ends(1)
        self.no_room = True
        self.clock.advance(0.5)
        self.no_room = False
        self.clock.advance(0.9)
        self.assertEqual(len(self.launched), 3)
        self.clock.advance(0.1)
        self._is("worker-1")

    # stopping

    def test_stop(self) -> None:
        """The workers first: they take what they were given, and are told; then the writer."""
        first, second = self._serve()
        writer = self.launched[0]
        stopped = self.crew.stop()
        self.assertEqual(first.told, [{"leave": True}])
        self.assertEqual(self._taking(), [])
        first.says({"taken": True})
        self.assertEqual(first.told[1:], [STOP])
        self.clock.advance(TAKE_SECONDS)
        self.assertEqual(second.told, [{"leave": True}, STOP])
        second.says({"taken": True})
        self.assertEqual(second.told[2:], [])
        first.ends(0)
        self.assertEqual(writer.told, [])
        self.assertNoResult(stopped)
        second.ends(0)
        self.assertEqual(writer.told, [STOP])
        writer.ends(0)
        self.successResultOf(stopped)
        self.assertEqual({one.place.state for one in self.crew.members}, {PlaceState.CLOSED})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_that_hangs(self) -> None:
        """Who does not end in time is killed."""
        first, _ = self._serve()
        self.crew.stop()
        self.clock.advance(TAKE_SECONDS)
        self.clock.advance(STOP_SECONDS)
        self.assertEqual(first.told[-2:], [STOP, "SIGKILL"])

    def test_stop_in_a_pause(self) -> None:
        """Who waits to be started again is not."""
        first, second = self._serve()
        first.ends(1)
        stopped = self.crew.stop()
        second.ends(0)
        self.launched[0].ends(0)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_while_starting(self) -> None:
        """Whoever has begun is told at once; those who have not never do."""
        self.crew.start()
        stopped = self.crew.stop()
        (writer,) = self._is("writer")
        self.assertEqual(writer.told, [STOP, "SIGTERM"])
        writer.says({"ready": True})
        writer.ends(-15)
        self.successResultOf(stopped)
        self.assertEqual(len(self.launched), 1)

    def test_stop_twice(self) -> None:
        """The second one is the first."""
        self.assertIs(self.crew.stop(), self.crew.stop())

    def test_writer_dies_in_a_stop(self) -> None:
        """It is not started again, and the stop goes on."""
        first, second = self._serve()
        stopped = self.crew.stop()
        self.launched[0].ends(-9)
        first.ends(0)
        second.ends(0)
        self.successResultOf(stopped)
        self.assertEqual(len(self.launched), 3)

    # a rolling restart

    def _roll_writer(self) -> None:
        self.crew.replace()
        self.launched[0].ends(0)
        self._is("writer")[0].says({"ready": True})

    def test_rolling(self) -> None:
        """The writer is started anew; of each worker the successor is ready before it is told."""
        first, second = self._serve()
        self.crew.replace()
        self.assertEqual(self.launched[0].told, [STOP])
        self.assertEqual(len(self.launched), 3)
        self.launched[0].ends(0)
        self._is("writer")[0].says({"ready": True})
        (new_first,) = self._is("worker-1")
        self.assertEqual((first.told, self._taking()), ([], [0, 1]))
        self.assertEqual(new_first.slot, 2)
        new_first.says({"ready": True})
        self.assertEqual((first.told, self._taking()), ([{"leave": True}], [1, 2]))
        first.says({"taken": True})
        self.clock.advance(LINGER_SECONDS - 0.1)
        self.assertEqual(first.told[1:], [])
        self.clock.advance(0.1)
        self.assertEqual(first.told[1:], [STOP])
        self._is("worker-1")
        first.ends(0)
        (new_second,) = self._is("worker-2")
        self.assertEqual(new_second.slot, 3)
        new_second.says({"ready": True})
        second.says({"taken": True})
        self.clock.advance(LINGER_SECONDS)
        second.ends(0)
        self.assertEqual(self._taking(), [2, 3])
        self.assertEqual(len(self.launched), 6)
        # And back.
        self.crew.replace()
        self.launched[3].ends(0)
        self._is("writer")[0].says({"ready": True})
        self.assertEqual(self._is("worker-1")[0].slot, 0)

    def test_successor_fails(self) -> None:
        """Then nobody is replaced, and another rolling restart may follow."""
        first, _ = self._serve()
        self._roll_writer()
        self._is("worker-1")[0].ends(1)
        self.assertEqual((first.told, self._taking()), ([], [0, 1]))
        self.assertEqual(len(self.launched), 5)
        self.clock.advance(100.0)
        self.assertEqual(len(self.launched), 5)
        self.crew.replace()
        self.launched[3].ends(0)
        self._is("writer")

    def test_successor_late(self) -> None:
        """A successor that does not become ready is killed, and the one before serves."""
        first, _ = self._serve()
        self._roll_writer()
        (successor,) = self._is("worker-1")
        self.clock.advance(START_SECONDS)
        self.assertEqual((successor.told, first.told), (["SIGKILL"], []))

    def test_one_before_dies(self) -> None:
        """The successor is then the one that starts, and all goes on from there."""
        first, _ = self._serve()
        self._roll_writer()
        (successor,) = self._is("worker-1")
        first.ends(-9)
        self.assertEqual(self._taking(), [1])
        successor.says({"ready": True})
        self.assertEqual(self._taking(), [1, 2])
        self._is("worker-2")

    def test_successor_dies_after(self) -> None:
        """Ready and dead before the one before has left: started again, in its own slot."""
        first, _ = self._serve()
        self._roll_writer()
        (successor,) = self._is("worker-1")
        successor.says({"ready": True})
        successor.ends(-9)
        self.clock.advance(0.5)
        (again,) = self._is("worker-1")
        self.assertEqual(again.slot, successor.slot)
        again.says({"ready": True})
        # The one before is still there, so that this place has no slot for another.
        self.crew.replace()
        self.launched[3].ends(0)
        self._is("writer")[0].says({"ready": True})
        self.assertEqual(again.told, [])
        first.ends(0)

    def test_rolling_twice(self) -> None:
        """Asked for during one, another follows: what is new may have come in between."""
        self._serve()
        self._roll_writer()
        self.crew.replace()
        self.crew.replace()
        self._is("worker-1")[0].says({"ready": True})
        self.launched[1].ends(0)
        self._is("worker-2")[0].says({"ready": True})
        self.launched[2].ends(0)
        self.assertEqual(self.launched[3].told, [STOP])

    def test_two_releases(self) -> None:
        """Processes that find out that they are of two releases are all replaced; not once more
        while that goes on, nor soon after, should it not have helped."""
        workers = self._serve()
        for one in workers:
            one.says({"outdated": True})
        self.assertEqual(self.launched[0].told, [STOP], "the first stage first")
        self.launched[0].ends(0)
        self._is("writer")[0].says({"ready": True})
        for one in workers:
            self._is(one.label)[0].says({"outdated": True})
            self._is(one.label)[0].says({"ready": True})
            one.ends(0)
        self.assertEqual(len(self.launched), 6)
        self._is("worker-2")[0].says({"outdated": True})
        self.assertEqual(self.launched[3].told, [])
        self.clock.advance(OUTDATED_SECONDS)
        self._is("worker-2")[0].says({"outdated": True})
        self.assertEqual(self.launched[3].told, [STOP])

    def test_two_releases_too_early(self) -> None:
        """At the start it is the start that fails, or not."""
        self.crew.start()
        self._is("writer")[0].says({"ready": True})
        self._is("worker-1", "worker-2")[0].says({"outdated": True})
        self.assertEqual(self.launched[0].told, [])

    def test_rolling_too_early(self) -> None:
        """Before all have been ready, and in a stop, there is none."""
        self.crew.start()
        self.crew.replace()
        self.assertEqual(self.launched[0].told, [])
        self.crew.stop()
        self.crew.replace()
        self.assertEqual(len(self.launched), 1)

    def test_stop_in_a_rolling(self) -> None:
        """All processes are told, successors and those who leave."""
        first, second = self._serve()
        self._roll_writer()
        (successor,) = self._is("worker-1")
        stopped = self.crew.stop()
        self.assertEqual(successor.told, [STOP, "SIGTERM"])
        for one in (first, second):
            one.says({"taken": True})
            one.ends(0)
        self.assertNoResult(stopped)
        successor.ends(-15)
        self.launched[3].ends(0)
        self.successResultOf(stopped)

    # the configuration

    def test_reload(self) -> None:
        """All are asked, and it is done when all have answered, or ended."""
        first, second = self._serve()
        self.crew.reload()
        self.assertEqual(first.told, [{"reload": True}])
        first.says({"reloaded": None})
        self.launched[0].says({"reloaded": "a reason"})
        self.assertEqual(self.ready, 1)
        second.ends(1)
        self.assertEqual(self.ready, 2)
        self.clock.advance(RELOAD_SECONDS)
        self.assertEqual(self.ready, 2)

    def test_reload_without_an_answer(self) -> None:
        """It is not waited for, for ever."""
        self._serve()
        self.crew.reload()
        self.clock.advance(RELOAD_SECONDS)
        self.assertEqual(self.ready, 2)

    def test_reload_while_starting(self) -> None:
        """Nobody is told that all are ready before they are, whoever has read what by then."""
        self.crew.start()
        (writer,) = self._is("writer")
        self.crew.reload()
        writer.says({"reloaded": None})
        writer.says({"ready": True})
        first, second = self._is("worker-1", "worker-2")
        self.crew.reload()
        self.clock.advance(RELOAD_SECONDS)
        first.says({"ready": True})
        self.assertEqual(self.ready, 0)
        second.says({"ready": True})
        self.assertEqual(self.ready, 1)

    def test_reload_unheard(self) -> None:
        """Who reads nothing is not waited for."""
        first, second = self._serve()
        for one in (first, second, self.launched[0]):
            one.refuses = True
        self.crew.reload()
        self.assertEqual(self.ready, 2)


class EndedHowTests(SynchronousTestCase):
    """Ends in words."""

    def test_words(self) -> None:
        """Exit codes, signals that have a name, and those that have none."""
        self.assertEqual(ended_how(0), "ended (exit code 0)")
        self.assertEqual(ended_how(-11), "was killed by SIGSEGV")
        self.assertEqual(ended_how(-99), "was killed by signal 99")
