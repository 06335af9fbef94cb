"""Tests for one node's members of a topic."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.roster import DEFAULT_PACE, MAX_INTERVAL, Pace, Roster
from takotwist.core.roster_messages import COUNT, JOIN, LEAVE, UPDATE, Change, read_entry


class RosterTests(SynchronousTestCase):
    """One node's roster."""

    def setUp(self) -> None:
        self.now = 100.0
        self.head = 1000
        self.roster = Roster()

    def stored(self, changes: list[Change]) -> None:
        """The log has taken them."""
        self.roster.stored(changes, range(self.head + 1, self.head + 1 + len(changes)))
        self.head += len(changes)

    def flush(self, readers: int = 1) -> list[tuple[str, str | None]]:
        self.now += MAX_INTERVAL
        self.roster.expire(self.now)
        changes = self.roster.take(self.now, readers)
        self.stored(changes)
        return [(change.type, change.subject) for change in changes]

    def test_tabs(self) -> None:
        """The first connection of a subject joins, and the last leaves, after the grace."""
        self.roster.enter("1", "ada", None, 0)
        self.roster.enter("2", "ada", None, 0)
        self.assertEqual(self.flush(), [(JOIN, "ada")])
        self.roster.leave("1", self.now, for_good=False)
        self.assertEqual(self.flush(), [])
        self.roster.leave("2", self.now, for_good=False)
        self.roster.leave("2", self.now, for_good=False)
        self.assertEqual(self.flush(), [])
        self.assertEqual(self.flush(), [(LEAVE, "ada")])
        self.assertTrue(self.roster.empty)
        self.assertIsNone(self.roster.due())

    def test_back_within_the_grace(self) -> None:
        """Who is back within the grace has changed nothing, state included."""
        self.roster.enter("1", "ada", b'{"name":"Ada"}', 0)
        self.roster.update("1", b"1")
        self.flush()
        self.roster.leave("1", self.now, for_good=False)
        self.now += 5
        self.roster.enter("2", "ada", b'{"name":"Ada"}', 7)
        self.now += 20
        self.assertEqual(self.flush(), [])

    def test_for_good(self) -> None:
        """Who says that it goes is not waited for."""
        self.roster.enter("1", "ada", None, 0)
        self.flush()
        self.roster.leave("1", self.now, for_good=True)
        self.assertEqual(self.flush(), [(LEAVE, "ada")])

    def test_never_there(self) -> None:
        """Who came and went between two transactions was never there."""
        self.roster.enter("1", "ada", None, 0)
        self.roster.leave("1", self.now, for_good=True)
        self.assertEqual(self.flush(), [])
        self.assertTrue(self.roster.empty)

    def test_gathers(self) -> None:
        """Many updates between two transactions are the last of them."""
        self.roster.enter("1", "ada", None, 0)
        self.flush()
        for n in range(100):
            self.assertTrue(self.roster.update("1", b"%d" % n))
        self.now += DEFAULT_PACE.interval
        [change] = self.roster.take(self.now, 1)
        self.assertEqual((change.type, read_entry(change.data).state), (UPDATE, b"99"))
        self.assertEqual(self.roster.take(self.now + 10, 1), [])
        self.stored([change])
        self.assertFalse(self.roster.update("2", b"1"))

    def test_pace(self) -> None:
        """The next transaction is later by what this one costs, but within a bound."""
        for n in range(300):
            self.roster.enter(str(n), str(n), None, 0)
        self.stored(self.roster.take(self.now, 300))
        self.roster.update("1", b"1")
        self.assertEqual(self.roster.due(), self.now + 0.9)
        self.assertEqual(self.roster.take(self.now + 0.8, 300), [])
        self.assertEqual(len(self.roster.take(self.now + 0.9, 1_000_000)), 1)
        for change in [self.roster._under_way[key] for key in self.roster._under_way]:
            self.stored([change])
        self.roster.update("1", b"2")
        self.assertEqual(self.roster.due(), self.now + 0.9 + MAX_INTERVAL)

    def test_other_pace(self) -> None:
        """An operator says how often a roster is stored, and what it may deliver."""
        slow = Pace(interval=2.0, count_interval=4.0, deliveries=10)
        self.roster.enter("1", "ada", None, 0)
        self.roster.enter("2", None, None, 0)
        self.stored(self.roster.take(self.now, 1, slow))
        self.roster.update("1", b"1")
        self.roster.enter("3", None, None, 0)
        self.assertEqual(self.roster.take(self.now + 1.9, 1, slow), [])
        [change] = self.roster.take(self.now + 2, 30, slow)
        self.assertEqual(change.type, UPDATE)
        self.stored([change])
        self.roster.update("1", b"2")
        # One change to thirty readers, ten a second.
        self.assertEqual(self.roster.due(), self.now + 5)
        changes = self.roster.take(self.now + 5, 1, slow)
        self.assertEqual([change.type for change in changes], [UPDATE, COUNT])

    def test_failed(self) -> None:
        """What could not be stored is stored later, as it is by then."""
        self.roster.enter("1", "ada", None, 0)
        changes = self.roster.take(self.now, 1)
        self.roster.failed(changes, self.now + 1)
        self.assertEqual(self.roster.due(), self.now + 1)
        self.roster.update("1", b"1")
        [change] = self.roster.take(self.now + 1, 1)
        self.assertEqual((change.type, read_entry(change.data).state), (JOIN, b"1"))

    def test_doubtful(self) -> None:
        """What may have been stored is ended, also where nobody knows that it was."""
        self.roster.enter("1", "ada", None, 0)
        self.roster.failed(self.roster.take(self.now, 1), self.now)
        self.roster.leave("1", self.now, for_good=True)
        self.assertEqual(self.flush(), [(LEAVE, "ada")])
        self.assertTrue(self.roster.empty)
        self.roster.enter("2", "bob", None, 0)
        self.flush()
        self.roster.update("2", b"1")
        self.now += 1
        self.roster.failed(self.roster.take(self.now, 1), self.now)
        self.roster.update("2", b"1")
        self.assertEqual(self.flush(), [(UPDATE, "bob")])

    def test_guest_becomes_a_member(self) -> None:
        """Who comes again when there is a place is a member, and counted no longer."""
        self.roster.max_members = 1
        self.roster.enter("1", "ada", None, 0)
        self.roster.enter("2", "bob", None, 0)
        self.flush()
        self.roster.leave("1", self.now, for_good=True)
        self.flush()
        self.roster.enter("2", "bob", None, 0)
        self.assertEqual(self.flush(), [(JOIN, "bob"), (COUNT, None)])
        self.assertEqual(self.roster.guests, set())

    def test_guests(self) -> None:
        """Who has no subject, or comes when there is no place, is counted."""
        self.roster.max_members = 1
        self.roster.enter("1", "ada", None, 0)
        self.roster.enter("2", "bob", None, 0)
        self.roster.enter("3", None, None, 0)
        self.roster.enter("4", "ada", None, 0)
        changes = self.roster.take(self.now, 1)
        self.assertEqual([one.type for one in changes], [JOIN, COUNT])
        self.assertEqual(read_entry(changes[1].data).count, 2)
        self.assertTrue(changes[1].kept)
        self.stored(changes)
        for name in "1234":
            self.roster.leave(name, self.now, for_good=True)
        self.assertEqual(self.flush(), [(LEAVE, "ada"), (COUNT, None)])
        self.assertTrue(self.roster.empty)

    def test_place_of_who_leaves(self) -> None:
        """It is free at once: who comes before the leave is stored is a member too."""
        self.roster.max_members = 2
        for name in ("ada", "bob"):
            self.roster.enter(name, name, None, 0)
        self.flush()
        self.roster.leave("ada", self.now, for_good=True)
        self.roster.enter("cy", "cy", None, 0)
        self.now += MAX_INTERVAL
        changes = self.roster.take(self.now, 1)
        self.assertEqual(
            [(one.type, one.subject) for one in changes], [(LEAVE, "ada"), (JOIN, "cy")]
        )
        self.roster.remove("bob")
        self.roster.enter("dan", "dan", None, 0)
        # And no more than that; nor is it the place of who is waited for.
        self.roster.leave("dan", self.now, for_good=False)
        self.roster.enter("eve", "eve", None, 0)
        self.assertEqual(self.roster.guests, {"eve"})
        self.stored(changes)
        self.assertEqual(self.flush(), [(LEAVE, "bob"), (JOIN, "dan"), (COUNT, None)])

    def test_counts_all(self) -> None:
        """Where only the number counts nobody is a member, and it is said once a second."""
        roster = Roster(counts_all=True)
        for n in range(10_000):
            roster.enter(str(n), str(n), None, 0)
        [change] = roster.take(self.now, 10_000)
        self.assertEqual(read_entry(change.data).count, 10_000)
        roster.stored([change], [1])
        roster.leave("1", self.now, for_good=False)
        self.assertEqual(roster.due(), self.now + 1.0)

    def test_remove(self) -> None:
        """Who is taken out leaves at once, and what its connections do then is nobody's."""
        self.roster.enter("1", "ada", None, 0)
        self.roster.enter("2", "ada", None, 0)
        self.flush()
        self.roster.remove("ada")
        self.roster.remove("bob")
        self.assertEqual([self.roster.subject_of(one) for one in "12"], [None, None])
        self.roster.leave("1", self.now, for_good=False)
        self.assertEqual(self.flush(), [(LEAVE, "ada")])

    def test_ended_by_another_while_it_is_stored(self) -> None:
        """What was stored before another node took this one for dead is not there any more."""
        roster = self.roster = Roster("n1")
        roster.enter("1", "ada", b"1", 0)
        roster.enter("2", None, None, 0)
        changes = roster.take(self.now, 1)
        roster.say_again()
        self.stored(changes)
        self.assertEqual(self.flush(), [(JOIN, "ada"), (COUNT, None)])
        self.assertEqual(self.flush(), [])

    def test_read_twice(self) -> None:
        """The log went away while it was read: the grace is from when it was read whole."""
        before = Roster()
        for subject in ("ada", "bob"):
            before.enter(subject, subject, b"1", 5)
        entries = [read_entry(change.data) for change in before.take(self.now, 1)]
        for entry in entries:
            self.roster.restore(entry, self.now)
        self.now += 60
        for entry in entries:
            self.roster.restore(entry, self.now)
        self.now += 1
        self.roster.enter("1", "ada", b"1", 9)
        self.assertEqual(self.flush(), [])
        self.now += 10
        self.assertEqual(self.flush(), [(LEAVE, "bob")])

    def test_restores(self) -> None:
        """Who the log knows of is waited for from the start; the rest leaves after the grace."""
        before = Roster()
        for subject in ("ada", "bob", "cy"):
            before.enter(subject, subject, b"1", 5)
        before.enter("guest", None, None, 5)
        changes = before.take(self.now, 1)
        self.roster.enter("early", "ada", b"1", 9)
        for change in changes:
            self.roster.restore(read_entry(change.data), self.now)
        self.roster.enter("late", "bob", b"1", 9)
        self.assertEqual(self.flush(), [])
        self.assertEqual(self.flush(), [(LEAVE, "cy"), (COUNT, None)])
