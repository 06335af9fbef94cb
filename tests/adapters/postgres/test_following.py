"""What one node stored is reported by another one."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.postgres import following, ranges, schema
from takotwist.adapters.postgres.following import CHECK_SECONDS
from takotwist.core import retention
from takotwist.core.channel import Lifecycle
from takotwist.core.log import Append
from takotwist.core.topic import Draft, Topic
from tests.adapters.postgres.clocked import ClockedLog, World
from tests.contracts.replay_log import DAY, KITCHEN, LOBBY, NOW, SECOND, Listener, entry
from tests.contracts.replay_log_keys import named


class FollowingCase(SynchronousTestCase):
    """Two nodes on one schema."""

    def setUp(self) -> None:
        self.world = World(NOW)
        self.addCleanup(self.world.close)
        self.reactor = self.world.reactor
        self.one, self.here = self.node()
        self.other, self.there = self.node()

    def node(self) -> tuple[ClockedLog, Listener]:
        log = self.world.log()
        listener = Listener(log)
        self.reactor.wait(log.start(listener))
        self.addCleanup(lambda: self.reactor.wait(log.stop()))
        return log, listener

    def follow(self, log: ClockedLog, *topics: Topic) -> None:
        for topic in topics:
            self.reactor.wait(log.follow(topic))

    def append(self, log: ClockedLog, *entries: Append, at: int = NOW + 1) -> None:
        self.reactor.wait(log.append(list(entries), at))

    def caught_up(self, *logs: ClockedLog) -> None:
        """Pump until all have come to the store's head."""
        [[head]] = self.world.do("SELECT head FROM store")
        for log in logs or (self.one, self.other):
            self.reactor.until(lambda log=log: log.head == head)

    def deafen(self, log: ClockedLog) -> None:
        """Have the node hear no notification any more."""
        connection = log._listener.connection
        assert connection is not None
        connection.notified = lambda _: None


class FollowingTests(FollowingCase):
    """In order, once, and nothing else."""

    def test_another_node(self) -> None:
        """Messages of both come to both, in the order of the log."""
        for log in (self.one, self.other):
            self.follow(log, LOBBY)
        expected = []
        for number in range(20):
            log = (self.one, self.other)[number % 2]
            self.append(log, entry(LOBBY, f"{number}", f"{number}b"), entry(KITCHEN, "x"))
            expected += [f"{number}", f"{number}b"]
        self.caught_up()
        for listener in (self.here, self.there):
            self.assertEqual(listener.texts, {LOBBY.key: expected})
            self.assertEqual(listener.skipped, [])

    def test_keys(self) -> None:
        """Both nodes tell messages of one key from others alike, whoever stored them; and an
        idempotency key is none."""
        for log in (self.one, self.other):
            self.follow(log, LOBBY)
        self.append(self.one, named(LOBBY, True, ("a", "1")))
        self.caught_up()
        self.append(self.other, named(LOBBY, True, ("b", "2"), ("a", "3")))
        self.append(self.other, entry(LOBBY, "4", "5", key="k"))
        self.caught_up()
        for listener in (self.here, self.there):
            first, other, again, *rest = listener.keys[LOBBY.key]
            self.assertEqual((first == again, other == again, rest), (True, False, [None, None]))

    def test_at_once(self) -> None:
        """Appends of both that are under way together are reported in one order to both."""
        for log in (self.one, self.other):
            self.follow(log, LOBBY, KITCHEN)
        for number in range(15):
            answers = [
                log.append([entry(LOBBY, f"{name}{number}"), entry(KITCHEN, name)], NOW)
                for log, name in ((self.one, "a"), (self.other, "b"))
            ]
            for answer in answers:
                self.reactor.wait(answer)
        self.caught_up()
        self.assertEqual(self.here.texts, self.there.texts)
        self.assertEqual(len(self.here.texts[LOBBY.key]), 30)
        page = self.reactor.wait(self.one.read(LOBBY, 0, 100, 2**20))
        self.assertEqual(self.here.texts[LOBBY.key], [m.data.decode()[1:-1] for m in page.messages])

    def test_order_of_topics(self) -> None:
        """What nodes tell each other comes first; then the order is that of first messages."""
        own = Topic.of("~nodes", {"of": "tests"})
        for order in ((LOBBY, own, KITCHEN), (KITCHEN, LOBBY, own)):
            log, listener = self.node()
            self.follow(log, KITCHEN, LOBBY, own)
            self.append(self.one, *[entry(topic, "x") for topic in order])
            self.caught_up(log)
            expected = [own.key, *[topic.key for topic in order if topic is not own]]
            self.assertEqual(list(listener.texts), expected)

    def test_costs_nothing_where_nobody_follows(self) -> None:
        """A node that does not follow a topic only raises its head: it reads nothing."""
        self.follow(self.other, KITCHEN)
        self.append(self.one, entry(KITCHEN, "a"))
        self.caught_up()
        asked: list[object] = []
        connection = self.other._listener.connection
        assert connection is not None
        call = connection.call
        connection.call = lambda *given, **more: (asked.append(given), call(*given, **more))[1]
        self.append(self.one, entry(LOBBY, "a"))
        self.append(self.one, entry(LOBBY, "b"))
        self.caught_up()
        self.assertEqual((asked, self.there.texts), ([], {KITCHEN.key: ["a"]}))

    def test_own_are_not_read_again(self) -> None:
        """What a node stored itself it reports without reading it."""
        self.follow(self.one, LOBBY)
        asked: list[object] = []
        connection = self.one._listener.connection
        assert connection is not None
        call = connection.call
        connection.call = lambda *given, **more: (asked.append(given), call(*given, **more))[1]
        for number in range(30):
            self.append(self.one, entry(LOBBY, str(number)))
            self.reactor.pump()
        self.assertEqual((len(self.here.texts[LOBBY.key]), asked), (30, []))

    def test_replaced(self) -> None:
        """A node that comes later to what was replaced reports the later ones, each once and in
        order; what is kept is there however late it comes."""
        self.follow(self.other, LOBBY)
        lifecycle = Lifecycle(replay_window_ms=1000)
        self.deafen(self.other)
        for number in range(3):
            pairs = [(key, f"{key}{number}") for key in "ab"[: number + 1]]
            self.append(self.one, named(LOBBY, True, *pairs, lifecycle=lifecycle))
        self.append(self.one, named(LOBBY, False, ("a", "gone"), lifecycle=lifecycle))
        self.append(self.one, named(LOBBY, True, ("c", "c1"), ("c", "c2"), lifecycle=lifecycle))
        self.reactor.advance(CHECK_SECONDS)
        self.caught_up()
        self.assertEqual(self.there.texts, {LOBBY.key: ["b2", "gone", "c2"]})
        for at in range(1, 4):
            while self.reactor.wait(self.one.sweep(NOW + at * DAY, ())):
                pass
        self.assertEqual(self.world.do("SELECT count(*) FROM message"), [(2,)])
        page = self.reactor.wait(self.other.read(LOBBY, 0, 10, 2**20))
        self.assertEqual([one.data for one in page.messages], [b'"b2"', b'"c2"'])
        self.assertEqual(self.there.skipped, [])

    def test_pages_of_what_is_kept(self) -> None:
        """What is kept and what is in the window come in one order, page by page."""
        lifecycle = Lifecycle(replay_max_messages=3)
        for number in range(5):
            self.append(
                self.one,
                named(LOBBY, True, (f"{number}", f"k{number}"), lifecycle=lifecycle),
                entry(LOBBY, f"{number}", lifecycle=lifecycle),
            )
        found, after, more = [], 0, True
        while more:
            page = self.reactor.wait(self.one.read(LOBBY, after, 2, 2**20))
            found += [one.data.decode()[1:-1] for one in page.messages]
            after, more = page.messages[-1].id, page.more
        self.assertEqual(found, ["k0", "k1", "k2", "2", "k3", "3", "k4", "4"])

    def test_counted_anew(self) -> None:
        """Tables that were filled by hand: the numbers are those of what is there."""
        self.append(self.one, named(LOBBY, True, ("a", "1"), ("b", "2")), entry(LOBBY, "x"))
        self.world.do("UPDATE topic SET messages = 9, kept = 9, kept_bytes = 9")
        self.world.do("UPDATE store SET fence = 'another/run/tables'")
        self.append(self.one, entry(KITCHEN, "x"))
        [[messages, kept, size]] = self.world.do(
            f"SELECT messages, kept, bytes + kept_bytes FROM topic WHERE key = '{LOBBY.key}'"
        )
        self.assertEqual((messages, kept), (1, 2))
        self.assertEqual(
            [(size,)],
            self.world.do(
                "SELECT sum(size)::bigint FROM message m JOIN topic t ON t.id = m.topic"
                f" WHERE t.key = '{LOBBY.key}'"
            ),
        )

    def test_clock_set_back(self) -> None:
        """All topics are planned anew, some in each sweep."""
        self.append(self.one, entry(LOBBY, "x"), at=NOW + DAY)
        most = retention.STEP_MESSAGES
        self.world.do(
            "INSERT INTO topic (digest, key, removed, doomed, purged, replay_window_ms,"
            " inactivity_ttl_ms, replay_max_messages, replay_max_bytes)"
            f" SELECT i::text::bytea, i, 0, 0, 0, 1, 0, 1, 1 FROM generate_series(1, {2 * most}) i"
        )
        state = (
            "SELECT planned, (SELECT count(*)::integer FROM topic"
            f" WHERE due_us = {retention.NEVER}) FROM store"
        )
        states = []
        for _ in range(3):
            self.assertTrue(self.reactor.wait(self.one.sweep(NOW, ())))
            states += self.world.do(state)
        self.assertEqual(states, [(most, most + 1), (2 * most, 1), (None, 0)])

    def test_first_message_of_a_topic(self) -> None:
        """A topic that was followed before it had a message; and one that was dropped since."""
        lifecycle = Lifecycle(inactivity_ttl_ms=1000)
        self.follow(self.other, LOBBY)
        self.append(self.one, entry(LOBBY, "a", lifecycle=lifecycle))
        self.caught_up()
        self.world.do("DELETE FROM lease")
        while self.reactor.wait(self.one.sweep(NOW + DAY, ())):
            pass
        self.assertEqual(self.world.do("SELECT key FROM topic"), [])
        self.append(self.one, entry(LOBBY, "b", lifecycle=lifecycle), at=NOW + DAY)
        self.caught_up()
        self.assertEqual(self.there.texts, {LOBBY.key: ["a", "b"]})

    def test_many_topics(self) -> None:
        """A batch whose topics do not fit into a notification."""
        topics = [Topic.of("room", {"n": n}) for n in range(1500)]
        self.follow(self.other, topics[3], topics[1400])
        self.append(self.one, *(entry(topic, "x") for topic in topics))
        self.caught_up()
        self.assertEqual(self.there.texts, {topics[3].key: ["x"], topics[1400].key: ["x"]})

    def test_more_than_a_page(self) -> None:
        """What is more than one query brings comes in several reports, whole and in order."""
        self.patch(following, "PAGE_MESSAGES", 7)
        self.patch(following, "PAGE_BYTES", 2000)
        self.follow(self.other, LOBBY, KITCHEN)
        expected: dict[str, list[str]] = {LOBBY.key: [], KITCHEN.key: []}
        for number in range(10):
            mine = [f"{number}.{part}" for part in range(5)]
            self.append(self.one, entry(LOBBY, *mine), entry(KITCHEN, *mine, "x" * 1500))
            expected[LOBBY.key] += mine
            expected[KITCHEN.key] += [*mine, "x" * 1500]
        self.caught_up()
        self.assertEqual(self.there.texts, expected)
        self.assertEqual(self.there.skipped, [])

    def test_kinds_of_text(self) -> None:
        """Types of any characters, bounds and places reach the other node as they are."""
        reports: list[Any] = []
        self.there.reported = reports.append  # type: ignore[method-assign]
        self.follow(self.other, LOBBY)
        lifecycle = Lifecycle(replay_window_ms=7000, replay_max_messages=50)
        draft = Draft("\ud800\x00é", b"\x00\xff")
        self.append(self.one, Append(LOBBY, (draft, draft), lifecycle, numbered=True))
        self.caught_up()
        [topic] = [topic for report in reports for topic in report.topics]
        self.assertEqual(topic.lifecycle, lifecycle)
        said = {(one.type, one.data) for one in topic.messages}
        self.assertEqual(said, {(draft.type, draft.data)})
        self.assertEqual([one.place[1] for one in topic.messages], [1, 2])

    def test_followed_in_the_middle_of_a_read(self) -> None:
        """A topic that is followed while messages are read is in what is reported from then on."""
        self.follow(self.other, LOBBY)
        self.append(self.one, entry(LOBBY, "a"), entry(KITCHEN, "a"))
        self.caught_up()
        connection = self.other._listener.connection
        assert connection is not None
        call = connection.call
        pages: list[Any] = []

        def slow(*given: Any, **more: Any) -> Any:
            answer = call(*given, **more)
            if given[0].name == b"news" and not pages:
                # Looked up and answered before the messages are.
                pages.append(self.other.head)
                self.reactor.wait(self.other.follow(KITCHEN))
                self.assertEqual(self.other.head, pages[0])
            return answer

        connection.call = slow
        self.append(self.one, entry(LOBBY, "b"), entry(KITCHEN, "b"))
        self.caught_up()
        self.assertEqual(self.there.texts, {LOBBY.key: ["a", "b"], KITCHEN.key: ["b"]})

    def test_forgotten_in_the_middle_of_a_read(self) -> None:
        """Ranges that are forgotten while their messages are read, as when too many wait or the
        engine was replaced, are read from the table, and nothing is missed."""
        self.follow(self.other, LOBBY)
        connection = self.other._listener.connection
        assert connection is not None
        call = connection.call
        read: list[Any] = []

        def slow(*given: Any, **more: Any) -> Any:
            answer = call(*given, **more)
            if given[0].name == b"news" and not read:
                read.append(answer)
                self.other._following.replaced(self.other.head)
            return answer

        connection.call = slow
        self.append(self.one, entry(LOBBY, "a"), entry(KITCHEN, "a"))
        self.append(self.one, entry(LOBBY, "b"))
        self.caught_up()
        self.assertTrue(read)
        self.assertEqual(self.there.texts, {LOBBY.key: ["a", "b"]})
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_first_head_is_settled(self) -> None:
        """Who waits for a node to know what another one told goes on once it knows its head."""
        new = self.world.log()
        settled: list[int] = []
        listener = Listener(new)
        listener.settled = lambda: settled.append(new.head)  # type: ignore[method-assign]
        self.append(self.one, entry(LOBBY, "a"))
        starting = new.start(listener)
        self.addCleanup(lambda: self.reactor.wait(new.stop()))
        self.reactor.wait(starting)
        self.assertIn(NOW + 1, settled)

    def test_newest(self) -> None:
        """A node that is behind knows the store's head, and comes to it."""
        self.deafen(self.other)
        self.follow(self.other, LOBBY)
        self.append(self.one, entry(LOBBY, "a"))
        self.assertEqual(self.reactor.wait(self.other.newest()), NOW + 1)
        self.caught_up()
        self.assertEqual(self.there.texts, {LOBBY.key: ["a"]})


class GapTests(FollowingCase):
    """What gets lost on the way."""

    def test_lost_notification(self) -> None:
        """One that was lost is found by the next one, and the last one by a look at the store."""
        self.follow(self.other, LOBBY)
        connection = self.other._listener.connection
        assert connection is not None
        hear = connection.notified
        lost: list[Any] = []
        connection.notified = lost.append
        self.append(self.one, entry(LOBBY, "a"))
        self.reactor.until(lambda: lost)
        connection.notified = hear
        self.append(self.one, entry(LOBBY, "b"))
        self.caught_up()
        self.assertEqual(self.there.texts, {LOBBY.key: ["a", "b"]})
        connection.notified = lost.append
        self.append(self.one, entry(LOBBY, "c"))
        self.reactor.until(lambda: len(lost) == 2)
        self.assertEqual(self.there.texts[LOBBY.key], ["a", "b"])
        self.reactor.advance(CHECK_SECONDS)
        self.caught_up()
        self.assertEqual(self.there.texts, {LOBBY.key: ["a", "b", "c"]})
        self.assertEqual(self.there.skipped, [])

    def test_writer_comes_last(self) -> None:
        """A server listens while its log starts.  Where the connection that writes is made after
        the one that hears, the head that it is greeted with is no reason to skip what was stored
        meanwhile: somebody is live here already."""
        self.follow(self.one, LOBBY)
        self.deafen(self.one)
        self.append(self.other, entry(LOBBY, "a"), entry(LOBBY, "b"))
        [[head]] = self.world.do("SELECT head FROM store")
        self.assertLess(self.one.head, head)
        self.one._following.begin_at(head)
        self.caught_up(self.one)
        self.assertEqual(self.here.texts, {LOBBY.key: ["a", "b"]})
        self.assertEqual(self.here.skipped, [])

    def test_notification_of_somebody_else(self) -> None:
        """Nonsense that comes while this node appends fails no append, and nothing is missed."""
        self.deafen(self.other)
        self.follow(self.one, LOBBY)
        [[process]] = self.world.do("SELECT pg_backend_pid()")
        following = self.one._following
        following.appending(process)
        self.world.do(f"NOTIFY {self.world.schema}, 'nonsense'")
        self.reactor.until(lambda: following._held)
        self.append(self.one, entry(LOBBY, "a"))
        self.append(self.other, entry(LOBBY, "b"))
        self.caught_up(self.one)
        self.assertEqual(self.here.texts, {LOBBY.key: ["a", "b"]})
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_cut(self) -> None:
        """A node whose connection was cut goes on where it was."""
        self.follow(self.other, LOBBY)
        self.append(self.one, entry(LOBBY, "a"))
        self.caught_up()
        connection = self.other._listener.connection
        assert connection is not None
        self.world.do(f"SELECT pg_terminate_backend({connection.pgconn.backend_pid})")
        self.append(self.one, entry(LOBBY, "b"))
        self.reactor.until(lambda: not connection.usable)
        self.append(self.one, entry(LOBBY, "c"))
        self.reactor.advance(0.2)
        self.caught_up()
        self.append(self.one, entry(LOBBY, "d"))
        self.caught_up()
        self.assertEqual(self.there.texts, {LOBBY.key: ["a", "b", "c", "d"]})
        self.assertEqual(self.there.skipped, [])

    def test_away_for_long(self) -> None:
        """A node that was away for longer than batches are kept has all topics skipped, and
        reports what comes after."""
        self.follow(self.other, LOBBY)
        self.deafen(self.other)
        self.append(self.one, entry(LOBBY, "a"))
        self.world.do("DELETE FROM batch")
        self.append(self.one, entry(LOBBY, "b"))
        self.reactor.advance(CHECK_SECONDS)
        self.caught_up()
        self.assertEqual(self.there.skipped, [None])
        self.deafen(self.other)
        self.append(self.one, entry(LOBBY, "c"))
        self.reactor.advance(CHECK_SECONDS)
        self.caught_up()
        self.assertEqual(self.there.texts, {LOBBY.key: ["c"]})

    def test_removed_before_it_was_reported(self) -> None:
        """A message that its topic has no room for is still reported by a node that is a little
        behind; one that is far behind has the topic skipped."""
        small = Lifecycle(replay_max_messages=1)
        self.follow(self.other, LOBBY)
        self.append(self.one, entry(LOBBY, "a", "b", "c", lifecycle=small))
        self.caught_up()
        self.assertEqual(self.there.texts, {LOBBY.key: ["a", "b", "c"]})
        self.deafen(self.other)
        self.append(self.one, entry(LOBBY, "d", "e", lifecycle=small))
        for seconds in (11, 22, 33):
            while self.reactor.wait(self.one.sweep(NOW + seconds * SECOND, ())):
                pass
        self.assertEqual(len(self.world.do("SELECT id FROM message")), 1)
        self.reactor.advance(CHECK_SECONDS)
        self.caught_up()
        self.assertEqual(self.there.skipped, [None])

    def test_gone_before_it_was_reported(self) -> None:
        """Where messages are gone and their batch is not, only their topic is skipped."""
        small = Lifecycle(replay_max_messages=1)
        self.follow(self.other, LOBBY, KITCHEN)
        self.append(self.one, entry(LOBBY, "a"), entry(KITCHEN, "a"))
        self.caught_up()
        self.deafen(self.other)
        self.append(self.one, entry(LOBBY, "b", "c", lifecycle=small), entry(KITCHEN, "b"))
        self.world.do("UPDATE topic SET purged = removed WHERE removed > 0 AND messages = 1")
        self.reactor.advance(CHECK_SECONDS)
        self.caught_up()
        self.assertEqual(self.there.skipped, [(LOBBY.key,)])
        self.assertEqual(self.there.texts[KITCHEN.key], ["a", "b"])

    def test_bounded(self) -> None:
        """However much is heard while nothing can be read, only so much is remembered."""
        self.patch(following, "MAX_HEARD", 5)
        self.patch(ranges, "MAX_HEARD", 5)
        self.patch(following, "PAGE_BATCHES", 4)
        self.follow(self.other, LOBBY)
        connection = self.other._listener.connection
        assert connection is not None
        self.other._following._working = True
        for number in range(20):
            self.append(self.one, entry(LOBBY, str(number)))
            self.reactor.pump(0.01)
            self.assertLessEqual(len(self.other._following._heard), 5)
        self.other._following._working = False
        self.reactor.advance(CHECK_SECONDS)
        self.caught_up()
        self.assertEqual(self.there.texts[LOBBY.key], [str(number) for number in range(20)])


class LeaseTests(FollowingCase):
    """A topic is in use where any node has subscribers."""

    TTL = Lifecycle(inactivity_ttl_ms=5000)

    def sweep(self, at: int) -> list[str]:
        while self.reactor.wait(self.one.sweep(at, ())):
            pass
        return [key for (key,) in self.world.do("SELECT key FROM topic")]

    def alive(self, log: ClockedLog) -> None:
        self.reactor.wait(log._directory.say())

    def test_other_node(self) -> None:
        """Subscribers on another node keep a topic, for its whole ttl after they left."""
        self.alive(self.other)
        self.append(self.one, entry(LOBBY, "a", lifecycle=self.TTL))
        self.follow(self.other, LOBBY)
        self.assertEqual(self.sweep(NOW + 7 * SECOND), [LOBBY.key])
        self.alive(self.other)
        self.world.set_clock(NOW + 11 * SECOND)
        self.other.unfollow(LOBBY.key)
        self.reactor.until(lambda: not self.world.do("SELECT topic FROM lease"))
        self.assertEqual(self.sweep(NOW + 15 * SECOND), [LOBBY.key])
        self.assertEqual(self.sweep(NOW + 16 * SECOND), [])

    def test_first_message_later(self) -> None:
        """Also where the topic had no message, or no ttl, when it was followed."""
        self.alive(self.other)
        self.follow(self.other, LOBBY, KITCHEN)
        self.append(self.one, entry(KITCHEN, "a"))
        self.append(
            self.one, entry(LOBBY, "a", lifecycle=self.TTL), entry(KITCHEN, "b", lifecycle=self.TTL)
        )
        self.reactor.until(lambda: len(self.world.do("SELECT topic FROM lease")) == 2)
        self.assertEqual(len(self.sweep(NOW + 7 * SECOND)), 2)

    def test_dead_node(self) -> None:
        """A node that died keeps its topics for as long as it may have lived, and their ttl."""
        self.alive(self.other)
        self.append(self.one, entry(LOBBY, "a", lifecycle=self.TTL))
        self.follow(self.other, LOBBY)
        self.reactor.wait(self.other.stop())
        self.world.do("INSERT INTO lease SELECT id, 'dead' FROM topic")
        lived = NOW + schema.LIVES_US
        self.world.do(f"INSERT INTO node VALUES ('dead', {NOW}, {lived}, '')")
        self.assertEqual(self.sweep(lived + 4 * SECOND), [LOBBY.key])
        self.assertEqual(self.sweep(lived + 5 * SECOND), [])
