"""Lifecycle of one place, and the pauses before its process is started again."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.supervisor.place import (
    LONGEST_PAUSE,
    STABLE_SECONDS,
    TRIES,
    Place,
    PlaceState,
)


class PlaceTests(SynchronousTestCase):
    """One place, by its facts."""

    def setUp(self) -> None:
        self.place = Place()

    def _serve(self, now: float = 0.0) -> None:
        self.place.started()
        self.place.ready(now)

    def test_serves(self) -> None:
        """A process serves once it is ready, and until it ended."""
        self.assertFalse(self.place.serves)
        self.place.started()
        self.assertFalse(self.place.serves)
        self.place.ready(0.0)
        self.assertTrue(self.place.serves)
        self.place.ended(1.0)
        self.assertIs(self.place.state, PlaceState.PAUSED)
        self.assertFalse(self.place.serves)

    def test_pauses(self) -> None:
        """Each end makes the next pause twice as long, up to the longest; then it is hopeless."""
        pauses = []
        for _ in range(TRIES):
            self.assertFalse(self.place.hopeless)
            self.place.started()
            pauses.append(self.place.ended(0.0))
        self.assertEqual(pauses, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, LONGEST_PAUSE])
        self.assertTrue(self.place.hopeless)

    def test_served_long(self) -> None:
        """Who served long enough begins with the first pause; who did not, goes on."""
        self._serve()
        self.assertEqual(self.place.ended(STABLE_SECONDS - 1), 0.5)
        self._serve(100.0)
        self.assertEqual(self.place.ended(101.0), 1.0)
        self._serve(200.0)
        self.assertEqual(self.place.ended(200.0 + STABLE_SECONDS), 0.5)
        self.assertEqual(self.place.failures, 1)

    def test_killed_again_and_again(self) -> None:
        """Who served for a while each time is away no longer than that, and is never hopeless."""
        pauses = []
        for _ in range(2 * TRIES):
            self._serve()
            pauses.append(self.place.ended(2.5))
            self.assertFalse(self.place.hopeless)
        self.assertEqual(pauses[:4], [0.5, 1.0, 2.0, 2.5])
        self.assertEqual(max(pauses), 2.5)

    def test_fails_after_all(self) -> None:
        """What cannot start any more is hopeless, however often its like was killed before."""
        for _ in range(TRIES):
            self._serve()
            self.place.ended(2.5)
        for _ in range(TRIES):
            self.assertFalse(self.place.hopeless)
            self._serve()
            self.place.ended(0.5)
        self.assertTrue(self.place.hopeless)

    def test_replaced(self) -> None:
        """Both serve in a rolling restart; the successor's time counts from its own start."""
        self._serve()
        self.place.replacing()
        self.assertTrue(self.place.serves)
        self.place.ready(1000.0)
        self.assertIs(self.place.state, PlaceState.SERVING)
        self.place.ended(1001.0)
        self.assertEqual(self.place.failures, 1)

    def test_successor_failed(self) -> None:
        """The one before serves on, and may be replaced again."""
        self._serve()
        self.place.replacing()
        self.place.abandoned()
        self.assertTrue(self.place.serves)
        self.place.replacing()

    def test_one_before_ended(self) -> None:
        """Then the successor is the one that starts."""
        self._serve()
        self.place.replacing()
        self.place.inherited()
        self.assertIs(self.place.state, PlaceState.STARTING)
        self.place.ready(1.0)
        self.assertTrue(self.place.serves)

    def test_stop(self) -> None:
        """A place with a process waits for its end; one without is closed at once."""
        self._serve()
        self.place.stop(left=True)
        self.assertFalse(self.place.serves)
        self.place.closed()
        self.assertIs(self.place.state, PlaceState.CLOSED)
        paused = Place()
        paused.started()
        paused.ended(0.0)
        paused.stop(left=False)
        self.assertIs(paused.state, PlaceState.CLOSED)

    def test_impossible(self) -> None:
        """What the table does not have is an error, and changes nothing."""
        for step in (self.place.closed, self.place.replacing, lambda: self.place.ready(0.0)):
            self.place.state = PlaceState.CLOSED
            self.assertRaises(RuntimeError, step)
            self.assertIs(self.place.state, PlaceState.CLOSED)
