"""Holds on the reading of a connection."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.flow.back_pressure import ReadHolds


class Reader(ReadHolds):
    """A connection that notes whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True
        self.changes = 0

    def _pause_reading(self) -> None:
        assert self.reading
        self.reading = False
        self.changes += 1

    def _resume_reading(self) -> None:
        assert not self.reading
        self.reading = True
        self.changes += 1


class ReadHoldsTests(SynchronousTestCase):
    """Any number of holders of one connection."""

    def test_two_holders(self) -> None:
        """The second changes nothing, and the first to let go neither."""
        reader = Reader()
        seen = []
        for full in (True, True, False, False):
            reader.hold(full)
            seen.append(reader.reading)
        self.assertEqual(seen, [False, False, False, True])
        self.assertEqual(reader.changes, 2)

    def test_never_held(self) -> None:
        """A release without a hold is a fault, and leaves the next hold as it would be."""
        reader = Reader()
        self.assertRaises(ValueError, reader.hold, False)
        reader.hold(True)
        self.assertFalse(reader.reading)

    @given(st.lists(st.booleans(), max_size=30))
    def test_read_while_nothing_holds(self, steps: list[bool]) -> None:
        """A connection is read exactly while its holds and releases are as many."""
        reader, holders = Reader(), 0
        for full in steps:
            if not full and holders == 0:
                continue
            reader.hold(full)
            holders += 1 if full else -1
            self.assertEqual(reader.reading, holders == 0)
