"""Workers and their writer: cuts, kills, slow readers, and every interleaving of them."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.shared.worker_log import (
    LONGEST_PAUSE,
    PATIENCE_SECONDS,
    RESTART_SECONDS,
    WorkerLog,
)
from takotwist.adapters.sqlite import SqliteReplayLog
from takotwist.core.channel import Lifecycle
from takotwist.core.log import Report
from takotwist.core.replay import Gate
from takotwist.core.topic import EVERYTHING, Topic
from takotwist.errors import CursorInvalid, ReplayTooOld, StoreUnavailable
from takotwist.flow.followed import LINGER_SECONDS
from tests.adapters.shared.pump import Endpoint, Writer
from tests.adapters.sqlite.inline_pool import InlinePool
from tests.contracts.replay_log import KITCHEN, LOBBY, NOW, SECOND, Listener, entry
from tests.flow.delivery_world import TOPICS, Client, DeliveryWorld


class WorkersCase(SynchronousTestCase):
    """A writer on a file."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW / SECOND)
        path = self.mktemp()
        self.writer = Writer(
            lambda: SqliteReplayLog(path, reactor=self.clock, make_pool=InlinePool), self.clock
        )
        self.writer.start()
        self.addCleanup(self.writer.kill)

    def started(self, worker: WorkerLog) -> Listener:
        listener = Listener(worker)
        self.successResultOf(worker.start(listener))
        return listener

    def later(self, seconds: float = 2 * LONGEST_PAUSE) -> None:
        self.clock.pump([0.05] * int(seconds / 0.05))


class WorkerTests(WorkersCase):
    """Single events worth a name."""

    def test_others_are_told(self) -> None:
        """What one worker stores is reported to all that follow it, once."""
        one, other = self.writer.worker(), self.writer.worker()
        heard, too = self.started(one), self.started(other)
        for worker in (one, other):
            self.successResultOf(worker.follow(LOBBY))
        self.successResultOf(one.append([entry(LOBBY, "a"), entry(KITCHEN, "b")], 0))
        self.successResultOf(other.append([entry(LOBBY, "c")], 0))
        self.assertEqual(heard.texts, {LOBBY.key: ["a", "c"]})
        self.assertEqual(too.texts, heard.texts)
        self.assertEqual(one.head, other.head)

    def test_writer_killed(self) -> None:
        """A batch whose answer was lost is stored once, and its publisher is told."""
        one = self.writer.worker()
        self.started(one)
        self.writer.endpoint.wires[-1].at_once = False
        storing: Deferred[Any] = one.append([entry(LOBBY, "a")], 0)
        wire = self.writer.endpoint.wires[-1]
        # It is stored, and the way back is cut.
        wire.ends[0].deliver()
        self.writer.kill()
        self.assertNoResult(storing)
        with capturedLogs():
            self.later(0.2)
            self.writer.start()
            self.later()
        [appended] = self.successResultOf(storing)
        page = self.successResultOf(one.read(LOBBY, 0, 10, 1000))
        self.assertEqual(page.messages, appended.messages)

    def test_told_what_changed(self) -> None:
        """After a cut a worker is told of which topics it has to read."""
        one, other = self.writer.worker(Endpoint(self.writer.endpoint.host)), self.writer.worker()
        heard = self.started(one)
        self.started(other)
        for topic in (LOBBY, KITCHEN):
            self.successResultOf(one.follow(topic))
        way: Any = one._endpoint
        way.host = None
        way.cut()
        [last] = self.successResultOf(other.append([entry(LOBBY, "a")], 0))
        self.assertEqual(heard.texts, {})
        way.host = self.writer.endpoint.host
        self.later()
        self.assertEqual(heard.skipped, [[LOBBY.key]])
        self.assertEqual(one.head, last.messages[0].id)
        self.successResultOf(other.append([entry(LOBBY, "b")], 0))
        self.assertEqual(heard.texts, {LOBBY.key: ["b"]})

    def test_slow_worker(self) -> None:
        """A worker that does not read holds no memory of the writer, and is told afterwards."""
        one, other = self.writer.worker(), self.writer.worker()
        heard = self.started(one)
        self.started(other)
        self.successResultOf(one.follow(LOBBY))
        end = self.writer.endpoint.wires[0].ends[1]
        end.producer.pauseProducing()
        for _ in range(100):
            self.successResultOf(other.append([entry(LOBBY, "x" * 1000)], 0))
        self.assertEqual((heard.texts, len(end.written)), ({}, 0))
        end.producer.resumeProducing()
        self.assertEqual((heard.texts, heard.skipped), ({}, [[LOBBY.key]]))
        self.assertEqual(one.head, other.head)

    def test_follows_while_it_is_slow(self) -> None:
        """A topic that is followed while reports are withheld is read from the worker's head."""
        one, other = self.writer.worker(), self.writer.worker()
        heard = self.started(one)
        self.started(other)
        end = self.writer.endpoint.wires[0].ends[1]
        end.producer.pauseProducing()
        self.successResultOf(other.append([entry(LOBBY, "a")], 0))
        self.successResultOf(one.follow(LOBBY))
        self.assertLess(one.head, other.head)
        end.producer.resumeProducing()
        self.assertEqual(heard.skipped, [[LOBBY.key]])

    def test_patience(self) -> None:
        """While the writer is away everything fails in bounded time, and nothing stays."""
        one = self.writer.worker()
        self.started(one)
        with capturedLogs() as said:
            self.writer.kill()
            doing = [
                one.append([entry(LOBBY, "a")], 0),
                one.read(LOBBY, 0, 1, 1),
                one.newest(),
                one.follow(KITCHEN),
                one.stats(),
                one.nodes(),
            ]
            self.later(PATIENCE_SECONDS + 1)
        for one_of_them in doing:
            self.failureResultOf(one_of_them, StoreUnavailable)
        self.assertEqual(len(said), 1, "one line says that it is away")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1, "the next try, and nothing else")
        with capturedLogs():
            self.writer.start()
            self.later()
        self.successResultOf(one.append([entry(LOBBY, "b")], 0))

    def test_writer_hangs(self) -> None:
        """A writer that says nothing gets nothing more, and all goes on when it does again."""
        one = self.writer.worker()
        heard = self.started(one)
        self.successResultOf(one.follow(LOBBY))
        [wire] = self.writer.endpoint.wires
        wire.at_once = self.writer.endpoint.at_once = False
        with capturedLogs() as said:
            storing = one.append([entry(LOBBY, "a")], 0)
            self.later(PATIENCE_SECONDS + 1)
            self.failureResultOf(storing, StoreUnavailable)
            self.assertTrue(wire.is_cut)
            for _ in range(100):
                reading = one.read(LOBBY, 0, 10, 1000)
                reading.addErrback(lambda failure: failure.trap(StoreUnavailable) and None)
            self.later(3 * PATIENCE_SECONDS)
        self.assertEqual([event["log_level"].name for event in said], ["error"])
        [_, waiting] = self.writer.endpoint.wires
        self.assertFalse(waiting.is_cut, "one connection waits for it")
        self.assertLess(len(waiting.ends[0].written), 200, "nothing piles up but the greeting")
        with capturedLogs() as said:
            waiting.at_once = True
            waiting.deliver()
        self.assertEqual(len(said), 1)
        self.successResultOf(one.append([entry(LOBBY, "b")], 0))
        self.assertEqual(heard.texts, {LOBBY.key: ["b"]})

    def test_disk_hangs(self) -> None:
        """Of a worker that gives up batch after batch the writer has the last one wait: the others
        were refused, and are not stored later."""
        one = self.writer.worker()
        self.started(one)
        asked: list[Any] = []

        def append_batches(batches: Any, now_us: int) -> Deferred[Any]:
            asked.append([batch.entries[0].drafts[0].data for batch in batches])
            hanging.append(Deferred())
            return hanging[-1]

        hanging: list[Deferred[Any]] = []
        self.writer.log.append_batches = append_batches  # type: ignore[method-assign]
        with capturedLogs():
            for number in range(5):
                storing = one.append([entry(LOBBY, f"{number}")], 0)
                self.later(PATIENCE_SECONDS + 0.1)
                self.failureResultOf(storing, StoreUnavailable)
            hanging[0].errback(StoreUnavailable())
        self.assertEqual(asked, [[b'"0"'], [b'"4"']])

    def test_away(self) -> None:
        """A writer that is started again at once was never away for who comes; one that is not
        is, and by itself no longer."""
        one = self.writer.worker()
        self.assertFalse(one.available)
        self.started(one)
        self.assertTrue(one.available)
        with capturedLogs():
            self.writer.kill()
            self.clock.advance(RESTART_SECONDS - 0.1)
            self.assertTrue(one.available)
            self.clock.advance(0.2)
            self.assertFalse(one.available)
            self.writer.start()
            self.later()
            self.assertTrue(one.available)
        self.successResultOf(one.stop())
        self.assertFalse(one.available)

    def test_away_and_nobody_asks(self) -> None:
        """A writer that hangs is noticed by a worker that only says now and then what it is."""
        one = self.writer.worker()
        self.started(one)
        [wire] = self.writer.endpoint.wires
        wire.at_once = self.writer.endpoint.at_once = False
        with capturedLogs():
            for _ in range(10):
                one.renew(b"it")
            self.assertLess(len(wire.ends[0].written), 100, "one at a time")
            self.later(PATIENCE_SECONDS + 1)
            self.assertFalse(one.available)
            [_, waiting] = self.writer.endpoint.wires
            waiting.at_once = True
            waiting.deliver()
        self.assertTrue(one.available)
        [node] = self.successResultOf(one.nodes())
        self.assertEqual(node.info, b"it")

    def test_slow_answer(self) -> None:
        """One call that takes long does not cost the connection: the writer says other things."""
        one, other = self.writer.worker(), self.writer.worker()
        self.started(one)
        self.started(other)
        late = Deferred[Any]()
        self.patch(self.writer.log, "read", lambda *arguments: late)
        reading = one.read(LOBBY, 0, 10, 1000)
        self.later(PATIENCE_SECONDS / 2)
        self.successResultOf(other.append([entry(LOBBY, "a")], 0))
        self.later(PATIENCE_SECONDS / 2 + 1)
        self.failureResultOf(reading, StoreUnavailable)
        self.assertFalse(self.writer.endpoint.wires[0].is_cut)

    def test_start_without_a_writer(self) -> None:
        """A worker waits for its writer for a while, and goes on trying."""
        self.writer.kill()
        one = self.writer.worker()
        with capturedLogs():
            starting = one.start()
            self.later(PATIENCE_SECONDS + 1)
            self.failureResultOf(starting, StoreUnavailable)
            self.writer.start()
            self.later()
        self.assertGreater(one.head, 0)

    def test_stop(self) -> None:
        """A worker that stops leaves nothing behind."""
        one = self.writer.worker()
        self.started(one)
        self.writer.endpoint.wires[0].at_once = False
        storing = one.append([entry(LOBBY, "a")], 0)
        self.successResultOf(one.stop())
        self.failureResultOf(storing, StoreUnavailable)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        host = self.writer.endpoint.host
        assert host is not None
        self.assertEqual(host.nodes(), [])

    def test_directory(self) -> None:
        """Workers know each other, and what each says of itself, also after the writer's end."""
        one, other = self.writer.worker(), self.writer.worker()
        self.started(one)
        self.started(other)
        one.renew(b"first")
        other.renew(b"second")

        def infos() -> list[bytes]:
            return sorted(node.info for node in self.successResultOf(one.nodes()))

        self.assertEqual(infos(), [b"first", b"second"])
        with capturedLogs():
            self.writer.kill()
            self.writer.start()
            self.later()
        self.assertEqual(infos(), [b"first", b"second"])
        self.successResultOf(other.stop())
        self.assertEqual(infos(), [b"first"])

    def test_in_use(self) -> None:
        """The writer knows what is followed, whoever follows it."""
        one, other = self.writer.worker(), self.writer.worker()
        self.started(one)
        self.started(other)
        self.successResultOf(one.follow(LOBBY))
        self.successResultOf(other.follow(KITCHEN))
        host = self.writer.endpoint.host
        assert host is not None
        self.assertEqual(host.in_use(), {LOBBY.key, KITCHEN.key})
        one.unfollow(LOBBY.key)
        self.assertEqual(host.in_use(), {KITCHEN.key})

    def test_store_fails(self) -> None:
        """What the file cannot take is refused to those whose batch it was."""
        one = self.writer.worker()
        self.started(one)
        with capturedLogs():
            os.chmod(self.writer.log._file.path, 0o400)
            self.writer.log._file.opened = None
            self.writer.log._pools["write"].connections.clear()
            self.successResultOf(self.writer.log.stop())
            self.failureResultOf(one.append([entry(LOBBY, "a")], 0), StoreUnavailable)
            self.failureResultOf(one.read(LOBBY, 0, 1, 1), StoreUnavailable)

    def test_no_frame(self) -> None:
        """What is no frame ends the connection, and is logged."""
        one = self.writer.worker()
        self.started(one)
        for data in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x01\xc1"):
            with capturedLogs() as said:
                self.writer.endpoint.wires[-1].ends[1].protocol.dataReceived(data)
                self.later()
            self.assertTrue(said)
            self.assertTrue(self.writer.endpoint.wires[-2].is_cut)
        self.flushLoggedErrors()

    def test_other_version(self) -> None:
        """A writer of another release reads nothing of a worker, and the worker nothing of it:
        both say so, the worker each time that it tries; with one of its own all goes on."""
        outdated: list[None] = []
        one = self.writer.worker(outdated=lambda: outdated.append(None))
        heard = self.started(one)
        self.successResultOf(one.follow(LOBBY))
        with capturedLogs() as said:
            self.writer.kill()
            self.writer.start()
            host = self.writer.endpoint.host
            assert host is not None
            host.version += 1
            storing = one.append([entry(LOBBY, "a")], 0)
            self.later(PATIENCE_SECONDS + 1)
            self.failureResultOf(storing, StoreUnavailable)
        words = [event["log_format"] for event in said]
        self.assertEqual(len([word for word in words if "is of another release" in word]), 1)
        self.assertGreater(len(outdated), 3)
        self.assertLess(len(outdated), 30)
        self.assertEqual((one.available, host.nodes()), (False, []))
        self.assertTrue(all(wire.is_cut for wire in self.writer.endpoint.wires))
        with capturedLogs():
            host.version -= 1
            self.later()
        self.successResultOf(one.append([entry(LOBBY, "b")], 0))
        self.assertEqual(heard.texts, {LOBBY.key: ["b"]})


class _Truth(Listener):
    """Everything that was stored."""

    def __init__(self, log: Any) -> None:
        super().__init__(log)
        self.ids: dict[str, list[int]] = {topic.key: [] for topic in TOPICS}

    def reported(self, report: Report) -> None:
        for topic in report.topics:
            self.ids[topic.key] += [message.id for message in topic.messages]


class WorkersMachine(RuleBasedStateMachine):
    """Two workers and a writer; chooses what happens next."""

    clients = Bundle("clients")
    at = st.integers(0, 1)

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.clock.advance(1_000_000.0)
        self.logged = capturedLogs()
        self.logged.__enter__()
        path = f"/dev/shm/takotwist-{os.getpid()}-{id(self)}"
        self.path = path
        self.truth: dict[str, list[int]] = {topic.key: [] for topic in TOPICS}
        self.published = 0
        self.sizes: set[int] = set()
        self.twice: set[int] = set()
        self.writer = Writer(
            lambda: SqliteReplayLog(path, reactor=self.clock, make_pool=InlinePool), self.clock
        )
        self.start_writer()
        lifecycle = Lifecycle(replay_window_ms=3_600_000, replay_max_messages=12)
        self.ways = [Endpoint(self.writer.endpoint.host, at_once=True) for _ in range(2)]
        self.nodes = [
            DeliveryWorld(2_000, lifecycle, self.clock, log=self.writer.worker(way))
            for way in self.ways
        ]
        for way in self.ways:
            for wire in way.wires:
                wire.at_once = False
            way.at_once = False

    def start_writer(self) -> None:
        self.writer.start()
        host = self.writer.endpoint.host
        assert host is not None
        told = host.reported

        def reported(report: Report) -> None:
            for topic in report.topics:
                self.truth[topic.key] += [message.id for message in topic.messages]
                sizes = [len(message.data) for message in topic.messages]
                # A publish has a size of its own.
                self.twice |= self.sizes.intersection(sizes)
                self.sizes.update(sizes)
            told(report)

        host.reported = reported  # type: ignore[method-assign]

    #: What is delivered after a step: nothing, or what the wires of some workers hold.
    then = st.sampled_from([(), (0,), (1,), (0, 1), (0, 1), (0, 1)])

    def after(self, then: tuple[int, ...]) -> None:
        for at in then:
            self.ways[at].deliver()

    @rule(at=at, topic=st.sampled_from(TOPICS), count=st.integers(1, 4), then=then)
    def publish(self, at: int, topic: Topic, count: int, then: tuple[int, ...]) -> None:
        self.published += 1
        self.nodes[at].publish(topic, count, self.published)
        self.after(then)

    @rule(at=at)
    def deliver(self, at: int) -> None:
        self.ways[at].deliver()

    @rule(at=at, end=st.integers(0, 1))
    def deliver_one_way(self, at: int, end: int) -> None:
        for wire in self.ways[at].wires:
            if not wire.is_cut:
                wire.ends[end].deliver()

    @rule(at=at)
    def cut(self, at: int) -> None:
        self.ways[at].cut()

    @rule()
    def kill_writer(self) -> None:
        """The file is as it stands; what was to be said is not."""
        self.writer.kill()
        for way in self.ways:
            way.host = None
            way.cut()
        self.start_writer()
        for way in self.ways:
            way.host = self.writer.endpoint.host

    @rule(at=at, pauses=st.booleans())
    def slow(self, at: int, pauses: bool) -> None:
        for wire in self.ways[at].wires:
            if not wire.is_cut:
                producer = wire.ends[1].producer
                producer.pauseProducing() if pauses else producer.resumeProducing()

    @rule(seconds=st.sampled_from([0.05, 0.5, 2.0, LINGER_SECONDS + 1]), then=then)
    def time_passes(self, seconds: float, then: tuple[int, ...]) -> None:
        self.tick(seconds)
        self.after(then)

    def tick(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for node in self.nodes:
            for action in node.deadlines.tick(self.clock.seconds()):
                action()

    @rule(
        target=clients,
        at=at,
        topic=st.sampled_from(TOPICS),
        back=st.one_of(st.none(), st.integers(0, 20)),
        reset=st.booleans(),
        then=then,
    )
    def attach(
        self, at: int, topic: Topic, back: int | None, reset: bool, then: tuple[int, ...]
    ) -> Client:
        cursor: int | None = None
        if back is not None:
            known = [0, *self.truth[topic.key]]
            cursor = known[-1 - min(back, len(known) - 1)]
        client = Client(self.nodes[at], topic, cursor, reset)
        self.after(then)
        return client

    @rule(client=clients)
    def clog(self, client: Client) -> None:
        client.clogged = True

    @rule(client=consumes(clients))
    def leave(self, client: Client) -> None:
        client.leave()
        client.world.clients.remove(client)
        self.check(client, complete=False)

    @invariant()
    def nothing_twice_or_out_of_order(self) -> None:
        assert not self.twice, "stored twice"
        for node in self.nodes:
            for client in node.clients:
                self.check(client, complete=False)

    def check(self, client: Client, *, complete: bool) -> None:
        stored, given = self.truth[client.topic.key], client.received
        if client.cursor is None:
            assert not given
            if complete:
                assert isinstance(client.ended, ReplayTooOld | CursorInvalid | StoreUnavailable)
                assert client.ended.code != "cursor-invalid"
            return
        wanted = [one for one in stored if one > client.cursor]
        if client.asked == EVERYTHING and not client.was_reset:
            wanted = [one for one in wanted if given and one >= given[0]]
        assert given == wanted[: len(given)], "a gap, a repetition or a wrong order"
        if complete and client.ended is None:
            assert client.subscription.replay.gate is Gate.OPEN
            assert given == wanted, "a live subscriber misses something"
        if complete and client.ended is not None:
            assert isinstance(client.ended, ReplayTooOld)

    def teardown(self) -> None:
        try:
            self.settle()
            for node in self.nodes:
                acknowledged = [id for ids in node.stored.values() for id in ids]
                assert len(set(acknowledged)) == len(acknowledged)
                assert set(acknowledged) <= {id for ids in self.truth.values() for id in ids}
                for client in node.clients:
                    self.check(client, complete=True)
                    client.leave()
                assert not node.fanout.keys()
        finally:
            for node in self.nodes:
                node.log.stop()
            self.writer.log.stop()
            self.logged.__exit__(None, None, None)
            for suffix in ("", "-wal", "-shm", ".witness"):
                if os.path.exists(self.path + suffix):
                    os.unlink(self.path + suffix)

    def settle(self) -> None:
        for _ in range(60):
            for way in self.ways:
                for wire in way.wires:
                    if not wire.is_cut:
                        wire.ends[1].producer.resumeProducing()
                way.deliver()
            for node in self.nodes:
                for client in node.clients:
                    client.unclog()
            self.tick(0.5)


WorkersMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40)


class TestWorkers(SynchronousTestCase):
    """Whatever happens in between."""

    def test_every_interleaving(self) -> None:
        """Each subscriber at each worker is given every message after its cursor, once, in
        order, or is told that it is too old, through kills of the writer and cuts."""
        WorkersMachine.TestCase("runTest").debug()
