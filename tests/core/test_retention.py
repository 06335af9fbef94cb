"""What a replay log no longer has to keep."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.channel import Lifecycle
from takotwist.core.retention import (
    AHEAD_US,
    MAX_MARKS,
    Ages,
    Held,
    Watched,
    cut,
    drop_at,
    due_at,
)

SECOND = 1_000_000
DAY = 24 * 3600 * SECOND


def held(lifecycle: Lifecycle, *messages: tuple[int, int], active_us: int = 0) -> Held:
    """A topic that holds `messages`, (id, size) each."""
    topic = Held(lifecycle, removed=0, active_us=active_us)
    for number, size in messages:
        topic.add(number, 1, size)
    if messages:
        topic.oldest = messages[0][0]
    return topic


class CutTests(SynchronousTestCase):
    """The old end of a topic."""

    def test_nothing(self) -> None:
        """A topic within its bounds loses nothing."""
        messages = [(10, 5), (20, 5)]
        self.assertIsNone(cut(held(Lifecycle(), *messages), 30, messages, 100))

    def test_empty(self) -> None:
        """An empty topic loses nothing."""
        self.assertIsNone(cut(held(Lifecycle()), 10 * DAY, [], 100))

    def test_age(self) -> None:
        """A message goes when it is exactly as old as the window."""
        messages = [(10, 5), (20, 6), (30, 7)]
        topic = held(Lifecycle(replay_window_ms=1), *messages)
        self.assertIsNone(cut(topic, 1009, messages, 100))
        gone = cut(topic, 1020, messages, 100)
        self.assertEqual((gone.up_to, gone.count, gone.bytes, gone.oldest), (20, 2, 11, 30))

    def test_size_alone(self) -> None:
        """Without a time only count and bytes are judged."""
        messages = [(10, 5), (20, 6)]
        topic = held(Lifecycle(replay_window_ms=0, replay_max_messages=1), *messages)
        gone = cut(topic, None, messages, 100)
        self.assertEqual((gone.up_to, gone.count), (10, 1))

    def test_bytes(self) -> None:
        """The oldest messages go until the rest fits; the newest stays however large it is."""
        messages = [(1, 500), (2, 500), (3, 5000)]
        topic = held(Lifecycle(replay_max_bytes=1024), *messages)
        gone = cut(topic, None, messages, 100)
        self.assertEqual((gone.up_to, gone.count, gone.oldest), (2, 2, 3))

    def test_most(self) -> None:
        """One step takes no more than it may, and reads no further than the next message."""
        read = []

        def messages():
            for number in range(1, 100):
                read.append(number)
                yield number, 1

        topic = held(Lifecycle(replay_window_ms=0), *((n, 1) for n in range(1, 100)))
        gone = cut(topic, DAY, messages(), 10)
        self.assertEqual((gone.up_to, gone.count, gone.oldest), (10, 10, 11))
        self.assertEqual(len(read), 11)

    def test_everything(self) -> None:
        """A topic that is dropped loses the newest message too."""
        messages = [(1, 5), (2, 5)]
        gone = cut(held(Lifecycle(), *messages), 3, messages, 100, everything=True)
        self.assertEqual((gone.up_to, gone.count, gone.oldest), (2, 2, 0))

    @given(
        st.lists(st.integers(1, 2000), max_size=30),
        st.integers(1, 10),
        st.integers(1024, 5000),
        st.integers(0, 40),
        st.integers(1, 40),
    )
    def test_what_stays_fits(
        self, sizes: list[int], count: int, size: int, expired: int, most: int
    ) -> None:
        """Step by step, exactly the newest messages stay that fit and are young enough."""
        lifecycle = Lifecycle(replay_window_ms=1, replay_max_messages=count, replay_max_bytes=size)
        messages = list(enumerate(sizes, 1))
        topic = held(lifecycle, *messages)
        expected = [one for one in messages if one[0] > expired][-count:]
        while len(expected) > 1 and sum(one[1] for one in expected) > size:
            expected.pop(0)
        while (gone := cut(topic, 1000 + expired, messages, most)) is not None:
            self.assertLessEqual(gone.count, most)
            topic.take(gone)
            messages = messages[gone.count :]
            self.assertEqual(topic.oldest, messages[0][0] if messages else 0)
        self.assertEqual(messages, expected)
        self.assertEqual(topic.removed, len(sizes) - len(expected))
        self.assertEqual((topic.count, topic.bytes), (len(messages), sum(s for _, s in messages)))


class HeldTests(SynchronousTestCase):
    """A topic's numbers."""

    def test_add(self) -> None:
        """Stored messages raise head, count and bytes; the oldest is the first of them."""
        topic = Held(Lifecycle(), removed=3)
        topic.add(5, 2, 100)
        topic.add(9, 1, 10)
        self.assertEqual(
            (topic.oldest, topic.head, topic.count, topic.bytes, topic.removed),
            (5, 9, 3, 110, 3),
        )

    def test_removed_never_falls(self) -> None:
        """A topic made after a drop keeps the older, higher watermark."""
        topic = held(Lifecycle(replay_window_ms=0), (5, 1))
        topic.removed = 50
        topic.take(cut(topic, DAY, [(5, 1)], 1))
        self.assertEqual(topic.removed, 50)


class DropTests(SynchronousTestCase):
    """When an idle topic is forgotten."""

    def test_never_by_default(self) -> None:
        """A topic that holds messages is not dropped unless its lifecycle says so."""
        self.assertIsNone(drop_at(held(Lifecycle(), (5, 1)), 0))

    def test_inactivity(self) -> None:
        """The ttl counts from the last publish or the last known subscriber."""
        topic = held(Lifecycle(inactivity_ttl_ms=1000), (5, 1), active_us=7)
        self.assertEqual(drop_at(topic, 0), 7 + SECOND)
        self.assertEqual(drop_at(topic, 100), 100 + SECOND)
        self.assertEqual(drop_at(topic, 100, 300), 300 + SECOND)

    def test_empty(self) -> None:
        """An empty topic is remembered for a day, or ten windows where that is longer."""
        self.assertEqual(drop_at(held(Lifecycle(), active_us=7), 10**9), 7 + DAY)
        topic = held(Lifecycle(replay_window_ms=DAY // 1000), active_us=7)
        self.assertEqual(drop_at(topic, 0), 7 + 10 * DAY)
        self.assertEqual(drop_at(topic, 0, 20), 20 + 10 * DAY)

    def test_due(self) -> None:
        """A sweep has something to do when the oldest message expires, when the topic is to be
        dropped, or at once where it is too large."""
        self.assertEqual(due_at(held(Lifecycle(replay_window_ms=5), (10, 1)), 0, 10), 10 + 5000)
        topic = held(Lifecycle(inactivity_ttl_ms=1), (10, 1), active_us=10)
        self.assertEqual(due_at(topic, 0, 10), 10 + 1000)
        self.assertEqual(due_at(held(Lifecycle(replay_max_messages=1), (1, 1), (2, 1)), 0, 1), 0)


class WatchedTests(SynchronousTestCase):
    """When topics were last in use."""

    def test_costs_nothing_without_a_ttl(self) -> None:
        """Nothing is remembered while no lifecycle has an inactivity ttl."""
        watched = Watched()
        watched.see({"a"}, 50)
        self.assertEqual(watched.last("a"), 0)

    def test_last(self) -> None:
        """A topic was last in use when it was last seen, or when the log was opened."""
        watched = Watched(opened_us=10)
        watched.told(1000)
        watched.see({"a"}, 50)
        watched.see({"b"}, 60)
        self.assertEqual([watched.last(key) for key in "abc"], [50, 60, 10])

    def test_bounded(self) -> None:
        """What is older than every ttl is forgotten."""
        watched = Watched()
        watched.told(1)
        for now in range(0, 40_000, 10):
            watched.see({f"topic {now}"}, now)
        self.assertLess(len(watched._seen), 1100)
        self.assertEqual(watched.last("topic 39990"), 39990)


class AgesTests(SynchronousTestCase):
    """When messages were stored, whatever their ids say."""

    def test_ids_that_are_times(self) -> None:
        """While the clock is right there is nothing to remember."""
        ages = Ages()
        for now in range(0, 10_000_000, 1_000_000):
            self.assertFalse(ages.look(now + AHEAD_US, now))
        self.assertEqual(ages.marks, [])
        self.assertEqual(ages.up_to(17), 17)
        self.assertEqual(ages.stored_by(17), 17)

    def test_clock_set_back(self) -> None:
        """That is said once."""
        ages = Ages()
        self.assertFalse(ages.look(10**9, 10**9))
        self.assertTrue(ages.look(10**9, 5))
        self.assertFalse(ages.look(10**9, 6))
        self.assertEqual(ages.marks, [(10**9, 5)])
        self.assertEqual((ages.up_to(4), ages.up_to(5)), (4, 10**9))
        self.assertEqual(ages.stored_by(10**9 - 1), 5)

    @given(st.lists(st.tuples(st.integers(-3 * 10**6, 10**7), st.booleans()), max_size=60))
    def test_never_too_early(self, steps: list[tuple[int, bool]]) -> None:
        """A message is never taken for older than it is by a clock that is only set back; and all
        numbers rise."""
        now, real, head, ages = 10**9, 0, 0, Ages()
        stored: dict[int, int] = {}
        for step, publish in steps:
            now, real = now + step, real + max(step, 0)
            if publish:
                head = max(head + 1, now)
                stored[head] = real
            ages.look(head, now)
            self.assertEqual(ages.marks, sorted(ages.marks))
            self.assertEqual([by for _, by in ages.marks], sorted({by for _, by in ages.marks}))
            for one, at in stored.items():
                age = now - ages.stored_by(one)
                self.assertLessEqual(age, real - at)
                self.assertGreaterEqual(age, -AHEAD_US)

    def test_bounded(self) -> None:
        """Marks are few, however long the clock stays behind, and the newest stay."""
        ages = Ages()
        for now in range(1, 20 * MAX_MARKS):
            ages.look(10**12 + now, now)
        self.assertLessEqual(len(ages.marks), MAX_MARKS)
        self.assertEqual(ages.stored_by(10**12 + now - 100), now - 100)
        self.assertLess(ages.stored_by(10**12 + 1), now)
