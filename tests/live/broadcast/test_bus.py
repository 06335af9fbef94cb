"""The bus: one order for all subscribers of a key, whatever they do while they are told."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.live.broadcast.bus import MAX_IDLE_KEYS, MAX_KEY, Bus, Publication, check_key
from takotwist.live.errors import UsageError
from takotwist.live.machine.frames import Info


class CheckKeyTests(SynchronousTestCase):
    """What can be a key."""

    def test_keys(self) -> None:
        """A text that is not empty, up to a length."""
        for key in ("k", "x" * MAX_KEY, "\U0001f419"):
            check_key(key)
        for wrong in ("", None, 5, b"k", "x" * (MAX_KEY + 1)):
            self.assertRaises(UsageError, check_key, wrong)

    def test_long_key_is_not_repeated(self) -> None:
        """What a client may have said is not in the error, only its length."""
        error = self.assertRaises(UsageError, check_key, "secret" * 1000)
        self.assertIn("6000 characters", str(error))
        self.assertNotIn("secret", str(error))


class BusTests(SynchronousTestCase):
    """Members of keys."""

    def setUp(self) -> None:
        self.now = 1000.0
        self.bus = Bus(lambda: self.now)
        self.heard: list[tuple[str, bytes]] = []

    def member(self, name: str) -> Callable[[Publication], None]:
        """One that notes what it hears."""
        return lambda publication: self.heard.append((name, publication.data))

    def test_kinds(self) -> None:
        """Each hears its key and its kind."""
        self.bus.subscribe("k", False, self.member("text"))
        self.bus.subscribe("k", True, self.member("bytes"))
        self.bus.subscribe("other", False, self.member("other"))
        self.bus.publish("k", b"1", False)
        self.bus.publish("k", b"2", True)
        self.assertEqual(self.heard, [("text", b"1"), ("bytes", b"2")])

    def test_counter(self) -> None:
        """One counter a key, for text and bytes together, without a gap; with the time."""
        infos = [self.bus.publish("k", b"x", binary) for binary in (False, True, False)]
        self.assertEqual([info.seq for info in infos], [1, 2, 3])
        self.assertEqual({info.epoch for info in infos}, {1_000_000})
        self.assertEqual(infos[0], Info(1, 1_000_000, 1_000_000))
        self.assertEqual(self.bus.publish("other", b"x", False).seq, 1)
        self.assertEqual(self.bus.published, 4)

    def test_epochs_only_grow(self) -> None:
        """A count that begins anew has a greater epoch, also where the clock goes back."""
        first = self.bus.new_epoch()
        self.now = 1.0
        self.assertEqual([self.bus.new_epoch(), self.bus.new_epoch()], [first + 1, first + 2])

    def test_published_while_told(self) -> None:
        """A member that publishes while it is told: all hear both, in the same order."""

        def echo(publication: Publication) -> None:
            self.heard.append(("echo", publication.data))
            if publication.data == b"1":
                self.bus.publish("k", b"2", False)

        self.bus.subscribe("k", False, echo)
        self.bus.subscribe("k", False, self.member("b"))
        self.bus.publish("k", b"1", False)
        self.assertEqual(self.heard, [("echo", b"1"), ("b", b"1"), ("echo", b"2"), ("b", b"2")])

    def test_one_that_fails(self) -> None:
        """It disturbs nobody, and is logged."""

        def fail(publication: Publication) -> None:
            raise ZeroDivisionError

        self.bus.subscribe("k", False, fail)
        self.bus.subscribe("k", False, self.member("b"))
        self.bus.publish("k", b"1", False)
        self.bus.publish("k", b"2", False)
        self.assertEqual(self.heard, [("b", b"1"), ("b", b"2")])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_leaves_while_told(self) -> None:
        """Who has been unsubscribed by one before it hears no more, not even this one."""
        self.bus.subscribe("k", False, lambda _: leave())
        leave = self.bus.subscribe("k", False, self.member("b"))
        self.bus.publish("k", b"1", False)
        self.assertEqual(self.heard, [])
        leave()

    def test_joins_while_told(self) -> None:
        """Who joins while others are told hears what is published later."""
        joined: list[object] = []

        def join(publication: Publication) -> None:
            if not joined:
                joined.append(self.bus.subscribe("k", False, self.member("late")))

        self.bus.subscribe("k", False, join)
        self.bus.publish("k", b"1", False)
        self.bus.publish("k", b"2", False)
        self.assertEqual(self.heard, [("late", b"2")])

    def test_deliver(self) -> None:
        """What the log has numbered keeps its number, and counts for nothing here; a key without
        members is not made for it."""
        stored = Publication(Info(7, 5, 3), b"x", False)
        self.bus.deliver("k", stored)
        self.assertEqual((len(self.bus), self.bus._keys), (0, {}))
        heard: list[Publication] = []
        self.bus.subscribe("k", False, heard.append)
        self.bus.deliver("k", stored)
        self.assertEqual((heard, self.bus.published), ([stored], 0))
        self.assertEqual(self.bus.publish("k", b"y", False).seq, 1)

    def test_idle_keys(self) -> None:
        """The counter of a key goes on after its last member, up to so many keys; of the one that
        has been idle for longest it begins anew, with another epoch."""
        leave = self.bus.subscribe("k", False, self.member("a"))
        before = self.bus.publish("k", b"1", False)
        leave()
        leave()
        self.assertEqual(len(self.bus), 0)
        self.assertEqual(self.bus.publish("k", b"2", False).seq, 2)
        for number in range(MAX_IDLE_KEYS):
            self.bus.publish(f"other {number}", b"x", False)
        self.assertEqual(len(self.bus._keys), MAX_IDLE_KEYS)
        after = self.bus.publish("k", b"3", False)
        self.assertEqual(after.seq, 1)
        self.assertGreater(after.epoch or 0, before.epoch or 0)

    def test_members_are_never_forgotten(self) -> None:
        """A key with a member stays, however many others there are."""
        self.bus.subscribe("k", False, self.member("a"))
        self.bus.publish("k", b"1", False)
        for number in range(MAX_IDLE_KEYS + 5):
            self.bus.publish(f"other {number}", b"x", False)
        self.assertEqual(self.bus.publish("k", b"2", False).seq, 2)
        self.assertEqual(len(self.bus), 1)

    @given(st.lists(st.sampled_from(["join", "leave", "publish", "nested"]), max_size=30))
    def test_same_order(self, steps: list[str]) -> None:
        """Members that come and go hear what was published while they were there, all of it,
        once, in one order."""
        bus = Bus(lambda: 1.0)
        heard: list[list[int]] = []
        wanted: list[tuple[int, int | None]] = []
        leaves: list[Callable[[], None]] = []
        seq = 0
        nested = [False]

        def again(_: Publication) -> None:
            if nested[0]:
                nested[0] = False
                bus.publish("k", b"", False)

        bus.subscribe("k", False, again)
        for step in steps:
            if step == "join":
                mine: list[int] = []
                heard.append(mine)
                wanted.append((seq, None))
                leaves.append(
                    bus.subscribe("k", False, lambda one, mine=mine: mine.append(one.info.seq))
                )
            elif step == "leave" and leaves:
                index = len(leaves) - 1
                while index >= 0 and wanted[index][1] is not None:
                    index -= 1
                if index >= 0:
                    leaves[index]()
                    wanted[index] = (wanted[index][0], seq)
            elif step in ("publish", "nested"):
                nested[0] = step == "nested"
                bus.publish("k", b"", False)
                seq += 2 if step == "nested" else 1
        for mine, (begin, end) in zip(heard, wanted, strict=True):
            self.assertEqual(mine, list(range(begin + 1, (seq if end is None else end) + 1)))
