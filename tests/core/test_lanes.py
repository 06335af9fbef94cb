"""Lanes: order within one, patience, and a position from which nothing is lost."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.lanes import LANES, LONGEST_PAUSE, Lanes, lane_of


@attrs.frozen
class Event:
    """One event."""

    id: int


class LanesTests(SynchronousTestCase):
    """What waits for one endpoint."""

    def test_one_at_a_time(self) -> None:
        lanes: Lanes[Event] = Lanes()
        for id in (1, 2, 3):
            lanes.put(0, Event(id))
        lanes.put(1, Event(4))
        self.assertEqual(list(lanes.take(0)), [(0, Event(1)), (1, Event(4))])
        self.assertEqual(list(lanes.take(0)), [])
        lanes.delivered(0)
        self.assertEqual(list(lanes.take(0)), [(0, Event(2))])
        self.assertEqual(lanes.count, 3)

    def test_patience(self) -> None:
        """A lane that fails waits, longer each time, up to a bound; others go on."""
        lanes: Lanes[Event] = Lanes()
        lanes.put(0, Event(1))
        lanes.put(1, Event(2))
        now, pauses = 0.0, []
        for _ in range(14):
            [(number, _)] = [one for one in lanes.take(now) if one[0] == 0]
            lanes.failed(number, now, 1.0)
            due = lanes._lanes[0].due
            pauses.append(due - now)
            self.assertEqual([one for one in lanes.take(due - 0.01) if one[0] == 0], [])
            now = due
        self.assertEqual(pauses[:4], [1, 2, 4, 8])
        self.assertEqual(pauses[-1], LONGEST_PAUSE)
        lanes.delivered(1)
        list(lanes.take(now))
        lanes.failed(0, now, 0.0, at_least=120)
        self.assertEqual(lanes.due(), now + 150)
        lanes.delivered(0)
        self.assertIs(lanes.due(), None)

    def test_asked_for(self) -> None:
        lanes: Lanes[Event] = Lanes()
        lanes.put(0, Event(1))
        list(lanes.take(0))
        lanes.failed(0, 0.0, 0.5, at_least=60)
        self.assertEqual(lanes.due(), 60)

    @given(
        st.lists(st.integers(0, LANES - 1), max_size=30),
        st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60),
        st.integers(0, 60),
    )
    def test_crash(self, events: list[int], steps: list[tuple[int, bool]], crash_at: int) -> None:
        """After a crash at any moment each event of a lane is delivered, in order, and again only
        what was not recorded."""
        log = [(id, lane) for id, lane in enumerate(events, 1)]
        got: dict[int, list[int]] = {}
        lanes: Lanes[Event] = Lanes()
        for id, lane in log:
            lanes.put(lane, Event(id))
        recorded, now = lanes.positions, 0.0
        for at, (which, works) in enumerate(steps):
            if at == crash_at:
                lanes = Lanes.resume(*recorded)
                for id, lane in log:
                    if id > lanes.read:
                        lanes.put(lane, Event(id))
            now += 1000
            for position, (number, event) in enumerate(list(lanes.take(now))):
                if works or position != which:
                    got.setdefault(number, []).append(event.id)
                    lanes.delivered(number)
                else:
                    lanes.failed(number, now, 0.5)
            if works:
                recorded = lanes.positions
        while lanes.count:
            now += 1000
            for number, event in list(lanes.take(now)):
                got.setdefault(number, []).append(event.id)
                lanes.delivered(number)
        for number in range(LANES):
            mine = [id for id, lane in log if lane == number]
            self.assertEqual(list(dict.fromkeys(got.get(number, []))), mine)
            self.assertLessEqual(len(got.get(number, [])), len(mine) * 2)

    def test_lane_of(self) -> None:
        """The same in every process, for every name."""
        self.assertEqual(lane_of("chat?roomId=a"), lane_of("chat?roomId=a"))
        self.assertTrue(0 <= lane_of("\ud800") < LANES)
