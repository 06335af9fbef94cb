"""The receive queue of a subscription: its bound, its cursor and its end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.events import Reset
from takotwist.client.receive_queue import ReceiveQueue


def event(id: str) -> Reset:
    return Reset("x", id)


class ReceiveQueueTests(SynchronousTestCase):
    """Events wait here; the cursor is that of what was taken."""

    def test_cursor(self) -> None:
        """It follows what is taken, not what arrives."""
        queue = ReceiveQueue(10, "1")
        queue.put(event("2"), "2")
        self.assertEqual(queue.cursor, "1")
        self.assertEqual(queue.take(), event("2"))
        self.assertEqual(queue.cursor, "2")
        self.assertIsNone(queue.take())

    def test_move(self) -> None:
        """A cursor that moved counts at once where nothing waits, and otherwise with the last
        event that does."""
        queue = ReceiveQueue(10)
        queue.move("1")
        self.assertEqual(queue.cursor, "1")
        queue.put(event("2"), "2")
        queue.put(event("3"), "3")
        queue.move("5")
        queue.take()
        self.assertEqual(queue.cursor, "2")
        queue.take()
        self.assertEqual(queue.cursor, "5")

    def test_bound(self) -> None:
        """Full at the limit, and drained only at half of it."""
        queue = ReceiveQueue(4)
        seen = []
        for number in range(4):
            self.assertFalse(queue.full)
            queue.put(event(str(number)), str(number))
        self.assertTrue(queue.full)
        while len(queue):
            queue.take()
            seen.append((queue.full, queue.drained))
        self.assertEqual(seen, [(False, False), (False, True), (False, True), (False, True)])

    def test_end(self) -> None:
        """The first end counts, and what waits may still be taken."""
        queue, error = ReceiveQueue(4), ValueError("first")
        queue.put(event("1"), "1")
        queue.end(error)
        queue.end(None)
        self.assertEqual((queue.ended, queue.error), (True, error))
        self.assertEqual(queue.take(), event("1"))

    @given(st.lists(st.sampled_from(["put", "take", "move"])))
    def test_law(self, steps: list[str]) -> None:
        """In order, each once; and once all is taken, the cursor is the last that was heard of."""
        queue, taken, last = ReceiveQueue(5), [], None
        for count, step in enumerate(steps, 1):
            if step == "put":
                last = str(count)
                queue.put(event(last), last)
            elif step == "move":
                last = str(count)
                queue.move(last)
            else:
                taken.append(queue.take())
        while (one := queue.take()) is not None:
            taken.append(one)
        puts = [event(str(at)) for at, step in enumerate(steps, 1) if step == "put"]
        self.assertEqual([one for one in taken if one is not None], puts)
        self.assertEqual(queue.cursor, last)
