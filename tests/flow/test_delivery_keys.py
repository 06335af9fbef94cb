"""Every interleaving with messages that have keys: of a channel that keeps the newest of each.

What each subscriber must have is less than without keys: of each key the newest that it has not
seen, in order, each once; a message may be missing only where a later one of its key came.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.channel import Lifecycle, NewestRules
from takotwist.core.replay import Gate
from takotwist.core.topic import EVERYTHING, NEWEST, Draft
from takotwist.errors import CursorInvalid, ReplayTooOld, StoreUnavailable
from tests.flow.delivery_world import TOPICS, Client, DeliveryWorld

TOPIC = TOPICS[0]
RULES = NewestRules(max_keys=3)
KEYS = "abc"


class KeyedWorld:
    """A topic with keys, and what was stored in it.

    :ivar keys: id -> key, in order of storing.
    :ivar deleted: ids that ended their key.
    """

    def __init__(self, *, conflate: bool, window_ms: int = 500) -> None:
        # A tail that holds about two messages, so that the log is asked as often as not.
        self.world = DeliveryWorld(
            1_500 if not conflate else 4_000, Lifecycle(replay_window_ms=window_ms)
        )
        self.world.follower.conflates = lambda channel: conflate
        self.keys: dict[int, str] = {}
        self.deleted: set[int] = set()

    def publish(self, *pairs: tuple[str, bool]) -> None:
        drafts = [Draft("m", b"1", key, delete) for key, delete in pairs]

        def stored(appended: Any) -> None:
            for message, (key, delete) in zip(appended.messages, pairs, strict=True):
                self.keys[message.id] = key
                if delete:
                    self.deleted.add(message.id)

        publishing = self.world.publishing.publish(
            TOPIC, drafts, self.world.lifecycle, newest=RULES
        )
        publishing.addCallbacks(stored, lambda failure: failure.trap(StoreUnavailable) and None)

    def client(self, cursor: int | None, reset: bool, way: str = "joined") -> Client:
        return Client(
            self.world, TOPIC, cursor, reset, way != "joined", way == "straight", keyed=True
        )

    def check(self, client: Client, *, complete: bool) -> None:
        """Hold what `client` was given against what was stored."""
        given = client.received
        assert given == sorted(set(given)), "twice, or out of order"
        if client.cursor is None:
            assert not given, "messages before the subscription began"
            if complete:
                assert isinstance(client.ended, ReplayTooOld | CursorInvalid | StoreUnavailable)
            return
        assert all(one > client.cursor for one in given)
        if not complete:
            # What replaces a message may be stored, and not reported yet.
            return
        last = max(given, default=0)
        for id, key in self.keys.items():
            if client.cursor < id <= last and id not in given:
                later = [one for one, its in self.keys.items() if its == key and one > id]
                # Or it began with a state in which that was deleted already.
                gone = client.cursor == EVERYTHING and id in self.deleted
                assert later or gone, "skipped, and nothing later of its key"
        if client.ended is None:
            assert client.subscription.replay.gate is Gate.OPEN
            for key in KEYS:
                ids = [one for one, its in self.keys.items() if its == key]
                newest = max(ids, default=0)
                if newest > client.cursor and newest not in given:
                    assert client.cursor == EVERYTHING and newest in self.deleted, "no state"


class KeyedMachine(RuleBasedStateMachine):
    """Chooses what happens next."""

    clients = Bundle("clients")
    conflate = False

    def __init__(self) -> None:
        super().__init__()
        self.keyed = KeyedWorld(conflate=self.conflate)
        self.world = self.keyed.world

    @rule(
        pairs=st.lists(
            st.tuples(st.sampled_from(KEYS), st.sampled_from([False, False, True])),
            min_size=1,
            max_size=4,
        ),
        through=st.booleans(),
    )
    def publish(self, pairs: list[tuple[str, bool]], through: bool) -> None:
        self.keyed.publish(*pairs)
        while through and self.world.log.report():
            pass

    @rule()
    def report(self) -> None:
        self.world.log.report()

    @rule(index=st.integers(0, 2))
    def snapshot(self, index: int) -> None:
        self.world.log.snapshot(index)

    @rule(index=st.integers(0, 2))
    def answer(self, index: int) -> None:
        self.world.log.answer(index)

    @rule()
    def sweep(self) -> None:
        self.world.log.sweep(int(self.world.clock.seconds() * 1e6), self.world.fanout.keys())

    @rule()
    def forget_tails(self) -> None:
        self.world.tails.clear()

    @rule(seconds=st.floats(0.0, 1.0))
    def time_passes(self, seconds: float) -> None:
        self.world.clock.advance(seconds)
        for action in self.world.deadlines.tick(self.world.clock.seconds()):
            action()

    @rule(
        target=clients,
        back=st.one_of(st.none(), st.just(NEWEST), st.just(EVERYTHING), st.integers(0, 8)),
        reset=st.booleans(),
        way=st.sampled_from(("joined", "at once", "straight")),
    )
    def attach(self, back: int | None, reset: bool, way: str) -> Client:
        cursor = back
        if back not in (None, NEWEST, EVERYTHING):
            known = [0, *self.keyed.keys]
            cursor = known[-1 - min(back, len(known) - 1)]
        return self.keyed.client(cursor, reset, way)

    @rule(client=clients)
    def clog(self, client: Client) -> None:
        client.clogged = True

    @rule(client=clients)
    def unclog(self, client: Client) -> None:
        client.unclog()

    @rule(client=consumes(clients))
    def leave(self, client: Client) -> None:
        client.leave()
        self.world.clients.remove(client)
        self.keyed.check(client, complete=False)

    @invariant()
    def nothing_twice_or_out_of_order(self) -> None:
        for client in self.world.clients:
            self.keyed.check(client, complete=False)

    def teardown(self) -> None:
        self.world.settle()
        for client in self.world.clients:
            self.keyed.check(client, complete=True)
            client.leave()
        assert not self.world.fanout.keys()


class ConflatingMachine(KeyedMachine):
    """The same where readers that are behind skip."""

    conflate = True


for machine in (KeyedMachine, ConflatingMachine):
    machine.TestCase.settings = settings(max_examples=120, stateful_step_count=40)


class TestDeliveryOfKeys(SynchronousTestCase):
    """Whatever happens in between, the newest of each key reaches each subscriber."""

    def test_every_interleaving(self) -> None:
        """Each subscriber ends with what is newest, or is told that its cursor is too old."""
        KeyedMachine.TestCase("runTest").debug()

    def test_every_interleaving_of_those_that_skip(self) -> None:
        """So it does where a channel conflates."""
        ConflatingMachine.TestCase("runTest").debug()


class TestConflation(SynchronousTestCase):
    """A reader that is behind, of a channel that asks for it."""

    def slow(self, *, conflate: bool) -> tuple[KeyedWorld, Client]:
        keyed = KeyedWorld(conflate=conflate, window_ms=3_600_000)
        keyed.world.tails.topic_bytes = keyed.world.tails.total_bytes = 10**6
        slow = keyed.client(None, False)
        slow.clogged = True
        return keyed, slow

    def test_skips_what_was_replaced(self) -> None:
        """It is given what its connection had taken, and then the newest of each key, in order;
        one that keeps up has each message, and neither costs a read of the log."""
        keyed, slow = self.slow(conflate=True)
        fast = keyed.client(None, False)
        for number in range(300):
            keyed.publish((KEYS[number % 3], False))
            keyed.world.log.settle()
        taken = len(slow.received)
        keyed.world.settle()
        ids = list(keyed.keys)
        self.assertLess(taken, 100)
        self.assertEqual(fast.received, ids)
        self.assertEqual(slow.received[taken:], ids[-3:])
        self.assertEqual(slow.received[:taken], ids[:taken])
        self.assertEqual(keyed.world.metrics.replay_reads, 0)

    def test_holds_little(self) -> None:
        """What is kept for those that are behind is a message a key, whatever is published."""
        keyed, _ = self.slow(conflate=True)
        for number in range(300):
            keyed.publish((KEYS[number % 3], number % 7 == 0))
            keyed.world.log.settle()
        self.assertLess(keyed.world.tails.bytes, 4_000)

    def test_not_asked_for(self) -> None:
        """Where the channel does not ask for it, a slow reader has each that is in memory."""
        keyed, slow = self.slow(conflate=False)
        for number in range(300):
            keyed.publish((KEYS[number % 3], False))
            keyed.world.log.settle()
        keyed.world.settle()
        self.assertEqual(slow.received, list(keyed.keys))
