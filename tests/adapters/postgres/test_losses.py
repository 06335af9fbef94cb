"""An engine that lost what it acknowledged: older cursors are too old, and no id comes twice."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.postgres.log import PostgresReplayLog
from takotwist.adapters.postgres.schema import JUMP_US
from takotwist.core.log import Page
from takotwist.errors import CursorInvalid, ReplayTooOld, StoreUnavailable
from tests.adapters.postgres.engine import FAST, Engine
from tests.adapters.postgres.pumped import PumpedReactor
from tests.contracts.replay_log import KITCHEN, LOBBY, Listener, entry

_names = itertools.count(1)


class LossCase(SynchronousTestCase):
    """An engine of its own, and its own clock."""

    def setUp(self) -> None:
        self.reactor = PumpedReactor(passing=True)
        # What is committed outlives `kill -9`, though not the machine.
        self.engine = Engine({**FAST, "synchronous_commit": "on"})
        self.addCleanup(self.engine.close)
        self.url = self.engine.url()

    def node(self) -> tuple[PostgresReplayLog, Listener]:
        log = PostgresReplayLog(
            self.url, node=f"node{next(_names)}", reactor=self.reactor, random=lambda: 0.5
        )
        listener = Listener(log)
        self.reactor.wait(log.start(listener))
        self.addCleanup(lambda: self.reactor.wait(log.stop()))
        self.reactor.until(lambda: log._writer.connection and log.reader().connection)
        return log, listener

    def do(self, sql: str, engine: Engine | None = None) -> list[Any]:
        with (engine or self.engine).connect() as by_hand:
            by_hand.execute("SET search_path = takotwist")
            cursor = by_hand.execute(sql)
            return [] if cursor.description is None else cursor.fetchall()

    def append(self, log: PostgresReplayLog, *texts: str) -> list[int]:
        [answer] = self.reactor.wait(log.append([entry(LOBBY, *texts)], 0))
        return [message.id for message in answer.messages]

    def read(self, log: PostgresReplayLog, after: int = 0) -> Page:
        return self.reactor.wait(log.read(LOBBY, after, 1000, 2**20))

    def too_old(self, log: PostgresReplayLog, *cursors: int) -> None:
        """All of them are, and none is an alias of what is new."""
        for cursor in cursors:
            self.assertRaises(ReplayTooOld, self.read(log, cursor).judge, cursor)


class LossTests(LossCase):
    """Each way in which one forgets."""

    def test_plain_restart(self) -> None:
        """A restart loses nothing, and neither does a crash: cursors stay good."""
        log, listener = self.node()
        self.reactor.wait(log.follow(LOBBY))
        ids = self.append(log, "a")
        for end in (self.engine.stop, self.engine.kill):
            end()
            self.engine.start()
            self.reactor.until(lambda: log._writer.connection is not None)
            self.reactor.until(lambda: log._listener.connection is not None)
            ids += self.append(log, "b")
        self.read(log, ids[0]).judge(ids[0])
        self.assertEqual([one.id for one in self.read(log).messages], ids)
        self.assertEqual(listener.texts, {LOBBY.key: ["a", "b", "b"]})
        self.assertEqual(listener.skipped, [])

    def test_promoted_replica(self) -> None:
        """A replica takes over that never saw the last writes: a node that saw them, and one that
        comes new, both take all older cursors for too old; a subscriber that is idle gets the
        next message."""
        log, listener = self.node()
        replica = Engine(FAST, copy_of=self.engine)
        self.addCleanup(replica.close)
        self.url = f"postgresql://tako@/postgres?host={self.engine.folder},{replica.folder}"
        log, listener = self.node()
        self.reactor.wait(log.follow(LOBBY))
        seen = self.append(log, "both")
        with replica.connect() as by_hand:
            self.reactor.until(
                lambda: by_hand.execute("SELECT head FROM takotwist.store").fetchone()[0] == seen[0]
            )
            by_hand.execute("ALTER SYSTEM SET primary_conninfo = 'host=/nowhere'")
            by_hand.execute("SELECT pg_reload_conf()")
            self.reactor.until(
                lambda: not by_hand.execute("SELECT * FROM pg_stat_wal_receiver").fetchall()
            )
        lost = self.append(log, "lost") + self.append(log, "lost too")
        self.engine.kill()
        replica.promote()
        self.reactor.until(lambda: log._writer.connection is not None)
        self.reactor.until(lambda: None in listener.skipped)
        [new] = self.append(log, "new")
        self.assertGreaterEqual(new, lost[-1] + JUMP_US)
        self.too_old(log, *seen, *lost)
        self.read(log, new).judge(new)
        self.reactor.until(lambda: listener.texts[LOBBY.key][-1] == "new")
        self.assertEqual(listener.texts[LOBBY.key], ["both", "lost", "lost too", "new"])
        fresh, _ = self.node()
        self.too_old(fresh, *seen, *lost)
        self.read(fresh, new).judge(new)

    def test_fresh_node_on_a_promoted_replica(self) -> None:
        """The timeline tells it, where no node is left that saw what was lost."""
        log, _ = self.node()
        seen = self.append(log, "both")
        replica = Engine(FAST, copy_of=self.engine)
        self.addCleanup(replica.close)
        self.reactor.wait(log.stop())
        self.engine.kill()
        replica.promote()
        self.url = replica.url()
        log, _ = self.node()
        self.too_old(log, *seen)

    def test_numbered(self) -> None:
        """Numbers that may have been given to what was lost are given to nothing else: the count
        begins anew, in a greater epoch."""
        log, _ = self.node()

        def place() -> tuple[int, int] | None:
            one = msgspec.structs.replace(entry(LOBBY, "x"), numbered=True)
            [answer] = self.reactor.wait(log.append([one], 0))
            return answer.messages[0].place

        kept = place()
        dump = self.engine.dump("takotwist")
        lost = place()
        assert kept is not None and lost is not None
        self.assertEqual(lost, (kept[0], kept[1] + 1))
        self.do("DROP SCHEMA takotwist CASCADE")
        self.engine.restore(dump)
        after, later = place(), place()
        assert after is not None and later is not None
        self.assertEqual((after[1], later), (1, (after[0], 2)))
        self.assertGreater(after[0], lost[0])

    def test_restored_dump(self) -> None:
        """A dump that is brought back, in the same engine or in another one."""
        log, listener = self.node()
        self.reactor.wait(log.follow(LOBBY))
        kept = self.append(log, "kept")
        dump = self.engine.dump("takotwist")
        lost = self.append(log, "lost")
        self.do("DROP SCHEMA takotwist CASCADE")
        self.engine.restore(dump)
        [new] = self.append(log, "new")
        self.too_old(log, *kept, *lost)
        self.assertEqual([one.id for one in self.read(log).messages], [*kept, new])
        self.reactor.until(lambda: None in listener.skipped)
        self.append(log, "newer")
        self.reactor.until(lambda: listener.texts[LOBBY.key][-1] == "newer")
        another = Engine()
        self.addCleanup(another.close)
        another.restore(dump)
        self.url = another.url()
        log, _ = self.node()
        self.too_old(log, *kept, *lost)

    def test_emptied_tables(self) -> None:
        """Tables that somebody emptied, all or one, while nodes work or not."""
        for emptied in ("store, topic, message", "message", "topic", "store"):
            log, listener = self.node()
            self.reactor.wait(log.follow(LOBBY))
            before = self.append(log, "a", "b")
            self.do(f"TRUNCATE {emptied}")
            self.too_old(log, *before)
            [new] = self.append(log, "new")
            self.assertGreater(new, before[-1])
            self.read(log, new).judge(new)
            self.reactor.until(lambda listener=listener: None in listener.skipped)
            self.assertEqual(self.read(log).messages[-1].id, new)
            while self.reactor.wait(log.sweep(0, ())):
                pass
            other, _ = self.node()
            self.too_old(other, *before)

    def test_said_by_hand(self) -> None:
        """An operator who knows of a loss says so, and no message that is left is lost by it."""
        log, _ = self.node()
        kept = self.append(log, "kept")
        self.do("VACUUM FULL store")
        self.too_old(log, *kept)
        self.assertEqual([one.id for one in self.read(log).messages], kept)

    def test_node_that_is_ahead_of_the_engine(self) -> None:
        """A crash with synchronous_commit off loses the last commits on the same timeline: a node
        that saw them tells."""
        log, _ = self.node()
        kept = self.append(log, "kept")
        lost = self.append(log, "lost")
        # What a crash leaves.
        self.do(f"DELETE FROM message WHERE id = {lost[0]}")
        self.do(f"UPDATE store SET head = {kept[0]}")
        [new] = self.append(log, "new")
        self.assertGreater(new, lost[0])
        self.too_old(log, *kept, *lost)

    def test_cursor_that_nobody_gave_out(self) -> None:
        """Is invalid, as ever."""
        log, _ = self.node()
        [head] = self.append(log, "a")
        self.assertRaises(CursorInvalid, self.read(log, head + 1).judge, head + 1)


class OnceTests(LossCase):
    """A batch whose answer was lost is stored once."""

    def cut_before_the_answer(self, log: PostgresReplayLog, *texts: str) -> list[int]:
        """Append, and cut the connection when the engine has done it and nobody has heard."""
        before = self.do("SELECT count(*) FROM message")
        connection = log._writer.connection
        assert connection is not None
        answer = log.append([entry(LOBBY, *texts, key="".join(texts))], 0)
        while self.do("SELECT count(*) FROM message") == before:
            pass
        # Nothing was read from the socket since.
        connection.pgconn.finish()
        connection._ready(1)
        self.assertFalse(connection.usable)
        [appended] = self.reactor.wait(answer)
        self.assertFalse(appended.repeated)
        return [message.id for message in appended.messages]

    def test_lost_answer(self) -> None:
        """The batch is sent again, and answered as if nothing had been."""
        log, listener = self.node()
        other, there = self.node()
        for one in (log, other):
            self.reactor.wait(one.follow(LOBBY))
        self.append(log, "a")
        ids = self.cut_before_the_answer(log, "b", "c")
        self.append(log, "d")
        self.assertEqual([one.id for one in self.read(log).messages][1:3], ids)
        for heard in (listener, there):
            self.reactor.until(lambda heard=heard: len(heard.texts.get(LOBBY.key, ())) == 4)
            self.assertEqual(heard.texts[LOBBY.key], ["a", "b", "c", "d"])

    def test_late_batch(self) -> None:
        """One that was given up, and comes to the engine after the next one, is refused there."""
        log, _ = self.node()
        self.append(log, "a")
        self.append(log, "b")
        log._number -= 2
        answer = log.append([entry(LOBBY, "a")], 0)
        self.assertRaises(StoreUnavailable, self.reactor.wait, answer)
        self.assertEqual(len(self.read(log).messages), 2)
        log._number += 1
        self.append(log, "c")

    def test_two_topics_at_once(self) -> None:
        """Two nodes that append to the same topics, in opposite orders, do not wait in a circle."""
        one, _ = self.node()
        other, _ = self.node()
        for number in range(20):
            answers = [
                one.append([entry(LOBBY, str(number)), entry(KITCHEN, "x")], 0),
                other.append([entry(KITCHEN, str(number)), entry(LOBBY, "x")], 0),
            ]
            for answer in answers:
                self.reactor.wait(answer)
        self.assertEqual(len(self.read(one).messages), 40)
