"""Tests for who is here."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.roster import (
    COUNT,
    INTERVAL,
    JOIN,
    LEAVE,
    MAX_INTERVAL,
    UPDATE,
    Change,
    Roster,
    View,
    ended,
    read_entry,
    roster_of,
)
from takotwist.core.topic import Topic


class RosterTests(SynchronousTestCase):
    """One node's roster."""

    def setUp(self) -> None:
        self.now = 100.0
        self.roster = Roster()

    def flush(self, readers: int = 1) -> list[tuple[str, str | None]]:
        self.now += MAX_INTERVAL
        self.roster.expire(self.now)
        changes = self.roster.take(self.now, readers)
        self.roster.stored(changes)
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
        self.now += INTERVAL
        [change] = self.roster.take(self.now, 1)
        self.assertEqual((change.type, read_entry(change.data).state), (UPDATE, b"99"))
        self.assertEqual(self.roster.take(self.now + 10, 1), [])
        self.roster.stored([change])
        self.assertFalse(self.roster.update("2", b"1"))

    def test_pace(self) -> None:
        """The next transaction is later by what this one costs, but within a bound."""
        for n in range(300):
            self.roster.enter(str(n), str(n), None, 0)
        self.roster.stored(self.roster.take(self.now, 300))
        self.roster.update("1", b"1")
        self.assertEqual(self.roster.due(), self.now + 0.9)
        self.assertEqual(self.roster.take(self.now + 0.8, 300), [])
        self.assertEqual(len(self.roster.take(self.now + 0.9, 1_000_000)), 1)
        for change in [self.roster._under_way[key] for key in self.roster._under_way]:
            self.roster.stored([change])
        self.roster.update("1", b"2")
        self.assertEqual(self.roster.due(), self.now + 0.9 + MAX_INTERVAL)

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
        self.roster.stored(changes)
        for name in "1234":
            self.roster.leave(name, self.now, for_good=True)
        self.assertEqual(self.flush(), [(LEAVE, "ada"), (COUNT, None)])
        self.assertTrue(self.roster.empty)

    def test_counts_all(self) -> None:
        """Where only the number counts nobody is a member, and it is said once a second."""
        roster = Roster(counts_all=True)
        for n in range(10_000):
            roster.enter(str(n), str(n), None, 0)
        [change] = roster.take(self.now, 10_000)
        self.assertEqual(read_entry(change.data).count, 10_000)
        roster.stored([change])
        roster.leave("1", self.now, for_good=False)
        self.assertEqual(roster.due(), self.now + 1.0)

    def test_remove(self) -> None:
        """Who is taken out leaves at once, and its connections are named."""
        self.roster.enter("1", "ada", None, 0)
        self.roster.enter("2", "ada", None, 0)
        self.flush()
        self.assertEqual(self.roster.remove("ada"), ["1", "2"])
        self.assertEqual(self.roster.remove("bob"), [])
        self.roster.leave("1", self.now, for_good=False)
        self.assertEqual(self.flush(), [(LEAVE, "ada")])

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

    def test_topic(self) -> None:
        """A roster is a topic of its channel whose key no channel's topic has."""
        roster = roster_of(Topic.of("chat", {"roomId": "a"}))
        self.assertEqual((roster.channel, roster.params), ("chat", {"roomId": "a"}))
        self.assertEqual(roster.key, "~presence:chat?roomId=a")


class Store:
    """What a log does with a roster's messages: the latest of each key, leaves for a while."""

    def __init__(self) -> None:
        self.head = self.removed = 0
        self.latest: dict[str, tuple[int, Change]] = {}

    def append(self, changes: list[Change]) -> None:
        for change in changes:
            self.head += 1
            self.latest[change.key] = self.head, change

    def expire(self) -> None:
        for key, (id, change) in list(self.latest.items()):
            if not change.kept:
                self.removed = max(self.removed, id)
                del self.latest[key]

    def after(self, cursor: int) -> list[tuple[int, Change]]:
        return sorted([one for one in self.latest.values() if one[0] > cursor], key=lambda o: o[0])


SUBJECTS = st.sampled_from(["ada", "bob", "cy"])
NODES = st.sampled_from(["n1", "n2"])


class RosterMachine(RuleBasedStateMachine):
    """Two nodes, their connections, a store between them, and readers that come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.names = 0
        self.store = Store()
        self.rosters = {"n1": Roster("n1"), "n2": Roster("n2")}
        #: node -> connection -> subject
        self.open: dict[str, dict[str, str]] = {"n1": {}, "n2": {}}
        self.view, self.cursor = View(), 0
        self.balance: dict[str, int] = {}

    @rule(node=NODES, subject=SUBJECTS)
    def connect(self, node: str, subject: str) -> None:
        self.names += 1
        self.open[node][str(self.names)] = subject
        self.rosters[node].enter(str(self.names), subject, b'"%s"' % subject.encode(), 0)

    @rule(node=NODES, data=st.data(), for_good=st.booleans())
    def disconnect(self, node: str, data: Any, for_good: bool) -> None:
        if self.open[node]:
            name = data.draw(st.sampled_from(sorted(self.open[node])))
            del self.open[node][name]
            self.rosters[node].leave(name, self.now, for_good=for_good)

    @rule(node=NODES, data=st.data(), state=st.integers(0, 3))
    def say(self, node: str, data: Any, state: int) -> None:
        if self.open[node]:
            name = data.draw(st.sampled_from(sorted(self.open[node])))
            self.rosters[node].update(name, b"%d" % state)

    @rule(node=NODES, subject=SUBJECTS)
    def kick(self, node: str, subject: str) -> None:
        for name in self.rosters[node].remove(subject):
            del self.open[node][name]

    @rule(seconds=st.sampled_from([0.1, 2.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(node=NODES, fails=st.sampled_from(["", "", "refused", "unknown"]))
    def flush(self, node: str, fails: str) -> None:
        roster = self.rosters[node]
        roster.expire(self.now)
        changes = roster.take(self.now, 10)
        if fails != "refused":
            self.store.append(changes)
        if fails:
            roster.failed(changes, self.now + 1)
        else:
            roster.stored(changes)

    @rule()
    def leaves_expire(self) -> None:
        self.store.expire()

    @rule(node=NODES)
    def restart(self, node: str) -> None:
        """The process is killed; its connections with it."""
        self.open[node].clear()
        roster = self.rosters[node] = Roster(node)
        for _, change in self.store.after(0):
            entry = read_entry(change.data)
            if entry.on == node and change.kept:
                roster.restore(entry, self.now)

    @rule(node=NODES)
    def dies(self, node: str) -> None:
        """And does not come back: whoever finds that says so, perhaps two at once."""
        self.open[node].clear()
        self.rosters[node] = Roster(node)
        gone = [
            ended(read_entry(change.data))
            for _, change in self.store.after(0)
            if change.kept and read_entry(change.data).on == node
        ]
        self.store.append(gone)
        self.store.append(gone)

    @rule()
    def read(self) -> None:
        if self.cursor < self.store.removed:
            # Too old: a fresh list.
            self.view, self.cursor = View(), 0
            self.balance = {}
        for id, change in self.store.after(self.cursor):
            event = self.view.apply(id, change.type, change.data)
            if event is not None and event[0] != "update":
                self.balance.setdefault(event[1], 0)
                self.balance[event[1]] += 1 if event[0] == "join" else -1
        self.cursor = self.store.head

    def teardown(self) -> None:
        self.quiet()

    @invariant()
    def joins_and_leaves_are_pairs(self) -> None:
        assert {one for one, n in self.balance.items() if n} == set(self.view.members)
        assert set(self.balance.values()) <= {0, 1}

    @rule()
    def quiet(self) -> None:
        """Once the grace is over and all is stored and read, all agree with the truth."""
        self.now += 20
        for node in self.rosters:
            self.flush(node, "")
            self.now += 10
            self.flush(node, "")
        self.read()
        fresh = View()
        for id, change in self.store.after(0):
            fresh.apply(id, change.type, change.data)
        truth = {subject for node in self.open.values() for subject in node.values()}
        assert set(self.view.members) == truth == set(fresh.members)
        for subject in truth:
            assert self.view.newest(subject) == fresh.newest(subject)


RosterMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40)


class RosterMachineTests(SynchronousTestCase):
    def test_agrees_with_the_truth(self) -> None:
        """Whatever nodes, connections, stores and readers do, all agree when it is quiet."""
        RosterMachine.TestCase("runTest").debug()
