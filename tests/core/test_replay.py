"""The position of one subscriber, and the gate to live messages."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.replay import TRANSITIONS, Gate, Replay
from takotwist.core.topic import EVERYTHING


@attrs.frozen
class Stored:
    """A stored message, as far as a position is concerned."""

    id: int
    size: int = 1

    def frame(self, form: object) -> bytes:
        return b"%d " % self.id


class TestReplay(SynchronousTestCase):
    """One number, the position, and what moves it."""

    def test_gate_opens_when_nothing_is_missing(self) -> None:
        """The gate opens at the last message fanned out, and not one before it."""
        replay = Replay(6)
        self.assertFalse(replay.open(7))
        self.assertIs(replay.gate, Gate.CLOSED)
        replay.given([Stored(7)])
        self.assertTrue(replay.open(7))
        self.assertIs(replay.gate, Gate.OPEN)

    def test_stays_open(self) -> None:
        """While it is open the position stays; messages come live, and do not close it."""
        replay = Replay(7)
        replay.open(7)
        self.assertTrue(replay.open(20))
        self.assertEqual(replay.position, 7)

    def test_given(self) -> None:
        """The position is the id of the last message that was given."""
        replay = Replay(3)
        replay.given([Stored(4), Stored(9)])
        self.assertEqual(replay.position, 9)

    def test_reached(self) -> None:
        """A page without messages brings the position to the head, and never back."""
        replay = Replay(3)
        replay.reached(8)
        replay.reached(5)
        self.assertEqual(replay.position, 8)

    def test_everything_of_nothing(self) -> None:
        """Whoever asked for the whole window of an empty topic stands at the head."""
        replay = Replay(EVERYTHING)
        replay.reached(0)
        self.assertEqual(replay.position, 0)
        replay.reached(4)
        self.assertEqual(replay.position, 4)

    def test_lagged(self) -> None:
        """The gate closes at what was fanned out before the message that did not fit."""
        replay = Replay(3)
        replay.open(3)
        replay.lagged(12)
        self.assertEqual((replay.gate, replay.position), (Gate.CLOSED, 12))

    def test_lagged_in_the_first_message(self) -> None:
        """A gate opened ahead of what was fanned out does not fall back behind its page."""
        replay = Replay(9)
        replay.open(5)
        replay.lagged(5)
        self.assertEqual(replay.position, 9)

    def test_lagged_while_closed(self) -> None:
        """A closed gate is continued from its own position: nothing moves it."""
        replay = Replay(3)
        replay.lagged(12)
        self.assertEqual((replay.gate, replay.position), (Gate.CLOSED, 3))

    def test_end(self) -> None:
        """An ended subscriber is never live again."""
        replay = Replay(9)
        replay.end()
        replay.lagged(12)
        self.assertFalse(replay.open(1))
        self.assertEqual((replay.gate, replay.position), (Gate.ENDED, 9))

    @given(
        st.integers(0, 3),
        st.lists(st.tuples(st.sampled_from(("open", "lagged", "end")), st.integers(0, 3))),
    )
    def test_gate_goes_by_its_table(self, position: int, steps: list[tuple[str, int]]) -> None:
        """Whatever is said of it in whatever order."""
        replay = Replay(position)
        for step, id in steps:
            before = replay.gate
            replay.end() if step == "end" else getattr(replay, step)(id)
            if replay.gate is not before:
                self.assertIn(replay.gate, TRANSITIONS[before])

    @given(
        st.lists(st.sampled_from(("publish", "full", "page", "read", "open")), max_size=40),
        st.integers(1, 3),
    )
    def test_each_message_once(self, steps: list[str], page: int) -> None:
        """Whatever the order of publishes, pages and full connections: no gap, no repetition."""
        replay, received, last = Replay(0), list[int](), 0
        for step in [*steps, *["page"] * (len(steps) + 1), "open"]:
            if step in ("publish", "full"):
                before, last = last, last + 1
                if replay.gate is Gate.OPEN:
                    if step == "full":
                        replay.lagged(before)
                    else:
                        received.append(last)
            elif step == "open":
                replay.open(last)
            elif replay.gate is Gate.CLOSED:
                items = [Stored(one) for one in range(replay.position + 1, last + 1)][:page]
                if items:
                    received += [one.id for one in items]
                    replay.given(items)
                else:
                    replay.reached(last)
        self.assertEqual(received, list(range(1, last + 1)))
        self.assertIs(replay.gate, Gate.OPEN)
