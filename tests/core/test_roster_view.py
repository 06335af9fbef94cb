"""Tests that who reads rosters knows who is here, whatever nodes and connections do."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.roster import Roster
from takotwist.core.roster_messages import Change, ended, read_entry
from takotwist.core.roster_view import View


class Store:
    """What a log does with a roster's messages: the latest of each key, leaves for a while."""

    def __init__(self) -> None:
        self.head = self.removed = 0
        self.latest: dict[str, tuple[int, Change]] = {}

    def append(self, changes: list[Change]) -> range:
        first = self.head + 1
        for change in changes:
            self.head += 1
            self.latest[change.key] = self.head, change
        return range(first, self.head + 1)

    def expire(self) -> None:
        for key, (id, change) in list(self.latest.items()):
            if not change.kept:
                self.removed = max(self.removed, id)
                del self.latest[key]

    def after(self, cursor: int) -> list[tuple[int, Change]]:
        return sorted([one for one in self.latest.values() if one[0] > cursor], key=lambda o: o[0])


SUBJECTS = st.sampled_from(["ada", "bob", "cy"])
#: Connections, of which some have no subject.
VISITORS = st.sampled_from(["ada", "bob", "cy", None])
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
        self.open: dict[str, dict[str, str | None]] = {"n1": {}, "n2": {}}
        self.view, self.cursor = View(), 0
        self.balance: dict[str, int] = {}
        #: What was said, no two alike -> when it was first handed to the store.
        self.handed: dict[bytes, int] = {}
        self.sayings = 0

    @rule(node=NODES, subject=VISITORS)
    def connect(self, node: str, subject: str | None) -> None:
        self.names += 1
        self.open[node][str(self.names)] = subject
        self.rosters[node].enter(str(self.names), subject, b'"%s"' % str(subject).encode(), 0)

    @rule(node=NODES, data=st.data(), for_good=st.booleans())
    def disconnect(self, node: str, data: Any, for_good: bool) -> None:
        if self.open[node]:
            name = data.draw(st.sampled_from(sorted(self.open[node])))
            del self.open[node][name]
            self.rosters[node].leave(name, self.now, for_good=for_good)

    @rule(node=NODES, data=st.data())
    def say(self, node: str, data: Any) -> None:
        if self.open[node]:
            name = data.draw(st.sampled_from(sorted(self.open[node])))
            self.sayings += 1
            self.rosters[node].update(name, b"%d" % self.sayings)

    @rule(node=NODES)
    def say_again(self, node: str) -> None:
        """It was taken for dead, and was not."""
        self.rosters[node].say_again()

    @rule(node=NODES, subject=SUBJECTS)
    def kick(self, node: str, subject: str) -> None:
        roster = self.rosters[node]
        if subject in roster.members:
            for name in roster.members[subject].connections:
                del self.open[node][name]
        roster.remove(subject)

    @rule(seconds=st.sampled_from([0.1, 2.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(node=NODES, fails=st.sampled_from(["", "", "refused", "unknown"]))
    def flush(self, node: str, fails: str) -> None:
        roster = self.rosters[node]
        roster.expire(self.now)
        changes = roster.take(self.now, 10, head=self.store.head)
        for change in changes:
            state = read_entry(change.data).state
            if state is not None:
                self.handed.setdefault(state, len(self.handed))
        ids = range(0) if fails == "refused" else self.store.append(changes)
        if fails:
            roster.failed(changes, self.now + 1)
        else:
            roster.stored(changes, ids)

    @rule()
    def leaves_expire(self) -> None:
        self.store.expire()

    @rule(node=NODES)
    def restart(self, node: str) -> None:
        """The process is killed; its connections with it."""
        self.open[node].clear()
        roster = self.rosters[node] = Roster(node)
        for id, change in self.store.after(0):
            entry = read_entry(change.data, id)
            if entry.on == node and change.kept:
                roster.restore(entry, self.now)

    @rule(node=NODES, subject=SUBJECTS, leaves=st.booleans())
    def predecessor(self, node: str, subject: str, leaves: bool) -> None:
        """One of the same name, which this one replaces, still stores; then the two compare."""
        before = Roster(node)
        before.enter("before", subject, b'"before"', 0)
        before.enter("guest", None, None, 0)
        changes = before.take(self.now, 1)
        ids = self.store.append(changes)
        if leaves:
            before.stored(changes, ids)
            for name in ("before", "guest"):
                before.leave(name, self.now, for_good=True)
            self.store.append(before.take(self.now + 10, 1))
        entries = [read_entry(one.data, id) for id, one in self.store.after(0) if one.kept]
        mine = [entry for entry in entries if entry.on == node]
        self.rosters[node].reconcile(mine, (), self.now)

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
        subjects = [subject for node in self.open.values() for subject in node.values()]
        truth = set(subjects) - {None}
        assert set(self.view.members) == truth == set(fresh.members)
        assert self.view.count == fresh.count == subjects.count(None)
        for subject in truth:
            newest = fresh.newest(subject)
            assert self.view.newest(subject) == newest
            said = {one.state for one in fresh.members[subject].values()} - {None}
            assert newest.state == max(said, key=self.handed.__getitem__, default=None)


RosterMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40)


class RosterMachineTests(SynchronousTestCase):
    def test_agrees_with_the_truth(self) -> None:
        """Whatever nodes, connections, stores and readers do, all agree when it is quiet."""
        RosterMachine.TestCase("runTest").debug()
