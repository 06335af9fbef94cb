"""Engines that cannot be used: one sentence each, with what to do, and going on by itself."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.postgres.engine import Engine as Connections
from takotwist.adapters.postgres.engine import Times
from takotwist.adapters.postgres.log import PostgresReplayLog
from takotwist.errors import StoreUnavailable
from tests.adapters.postgres.engine import FAST, Engine, engine
from tests.adapters.postgres.pumped import PumpedReactor
from tests.contracts.replay_log import LOBBY, entry
from tests.sockets.server_process import free_port


class TroubleCase(SynchronousTestCase):
    """Logs of one node, and what the operator hears of them."""

    def setUp(self) -> None:
        self.reactor = PumpedReactor(passing=True)
        self.said: list[str] = []
        globalLogPublisher.addObserver(self._hear)
        self.addCleanup(globalLogPublisher.removeObserver, self._hear)

    def _hear(self, event: Any) -> None:
        if event.get("log_namespace", "").startswith("takotwist"):
            self.said.append(formatEvent(event))

    def log(self, url: str, **more: Any) -> PostgresReplayLog:
        given: dict[str, Any] = {
            "node": f"node{id(more)}",
            "reactor": self.reactor,
            "random": lambda: 0.5,
            "schema": f"trouble{os.getpid()}",
            **more,
        }
        log = PostgresReplayLog(url, **given)
        self.reactor.wait(log.start())
        self.addCleanup(lambda: self.reactor.wait(log.stop()))
        return log

    def refused(self, log: PostgresReplayLog) -> None:
        """A publish is refused, now."""
        answer = log.append([entry(LOBBY, "a")], 0)
        self.assertRaises(StoreUnavailable, self.reactor.wait, answer)

    def sentence(self, url: str, **more: Any) -> str:
        """The one thing that is said of a log that cannot be used."""
        log = self.log(url, **more)
        self.refused(log)
        # Others say the same, and it is said once.
        self.refused(log)
        self.reactor.wait(log.stop())
        self.assertEqual(len(self.said), 1, self.said)
        return self.said.pop()

    def works(self, log: PostgresReplayLog) -> None:
        self.reactor.until(lambda: log._writer.connection is not None)
        self.reactor.wait(log.append([entry(LOBBY, "a")], 0))


class BadStartTests(TroubleCase):
    """What an operator may have got wrong."""

    def test_nobody_there(self) -> None:
        """An engine that does not run; and the server goes on when it does."""
        said = self.sentence(f"postgresql://me:geheim@127.0.0.1:{free_port()}/x")
        self.assertIn("it cannot be reached", said)
        self.assertIn("See that PostgreSQL runs there", said)
        self.assertNotIn("geheim", said)
        self.assertNotIn("me", said.split("not available")[0])

    def test_wrong_password(self) -> None:
        """And no such role, and no such database."""
        self.assertIn("user and password", self.sentence(engine().url(user="nobody")))
        self.assertIn("no such database", self.sentence(engine().url(database="nowhere")))

    def test_too_old(self) -> None:
        """A version from before what the log needs."""
        connections = Connections(
            self.reactor,
            engine().url(),
            "takotwist",
            Times(),
            random=lambda: 0.5,
            oldest=990000,
        )
        link = connections.link("write")
        link.start()
        self.addCleanup(link.stop)
        self.reactor.until(lambda: self.said)
        self.assertRegex(self.said[0], r"its version is too old \(it is version \d\d\.\d+\)")
        self.assertIn("Use PostgreSQL 13 or newer", self.said[0])

    def test_no_rights(self) -> None:
        """A role that may not make the schema, and may once somebody made it for it."""
        with engine().connect() as by_hand:
            by_hand.execute("DROP ROLE IF EXISTS poor")
            by_hand.execute("CREATE ROLE poor LOGIN")
        said = self.sentence(engine().url(user="poor"), schema="poor")
        self.assertIn("this role may not do what the log needs", said)
        self.assertIn("GRANT CREATE ON DATABASE", said)
        with engine().connect() as by_hand:
            by_hand.execute("CREATE SCHEMA poor AUTHORIZATION poor")
        log = self.log(engine().url(user="poor"), schema="poor")
        self.works(log)
        self.reactor.wait(log.sweep(0, ()))
        self.reactor.wait(log.stop())
        with engine().connect() as by_hand:
            by_hand.execute("SET client_min_messages = error")
            by_hand.execute("DROP SCHEMA poor CASCADE")
            by_hand.execute("DROP ROLE poor")

    def test_tables_of_another_program(self) -> None:
        """A schema that is somebody else's is left alone."""
        with engine().connect() as by_hand:
            by_hand.execute("CREATE SCHEMA theirs")
            by_hand.execute("CREATE TABLE theirs.message (id integer)")
        said = self.sentence(engine().url(), schema="theirs")
        self.assertIn("the schema holds tables of another program (schema theirs)", said)
        self.assertIn("Set replay.schema to another name", said)
        with engine().connect() as by_hand:
            by_hand.execute("SET client_min_messages = error")
            by_hand.execute("DROP SCHEMA theirs CASCADE")

    def test_read_only(self) -> None:
        """A database that may not be written, and a replica."""
        said = self.sentence(engine().url(options="-cdefault_transaction_read_only%3Don"))
        self.assertIn("it is a replica, or read-only", said)
        self.assertIn("target_session_attrs=read-write", said)
        primary = Engine()
        self.addCleanup(primary.close)
        replica = Engine(FAST, copy_of=primary)
        self.addCleanup(replica.close)
        self.assertIn("it is a replica, or read-only", self.sentence(replica.url()))
        both = f"postgresql://tako@/postgres?host={replica.folder},{primary.folder}"
        self.works(self.log(both))

    def test_pool_in_transaction_mode(self) -> None:
        """pgbouncer loses notifications in transaction mode, and not in session mode."""
        with self.pgbouncer("transaction") as url:
            said = self.sentence(url)
        self.assertIn("notifications do not arrive", said)
        self.assertIn("pgbouncer in transaction mode", said)
        with self.pgbouncer("session") as url:
            log = self.log(url)
            self.works(log)
            self.reactor.wait(log.stop())

    @contextmanager
    def pgbouncer(self, mode: str) -> Iterator[str]:
        folder = Path(self.mktemp())
        folder.mkdir()
        folder.chmod(0o777)
        port = free_port()
        config = folder / "pgbouncer.ini"
        config.write_text(
            f"[databases]\npostgres = host={engine().folder} user=tako\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = any\npool_mode = {mode}\n"
        )
        user = ["-u", "postgres"] if os.getuid() == 0 else []
        pool = subprocess.Popen(
            ["/usr/sbin/pgbouncer", "-q", *user, str(config.absolute())],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            url = f"postgresql://tako@127.0.0.1:{port}/postgres"

            def there() -> bool:
                try:
                    psycopg.connect(url).close()
                except psycopg.OperationalError:
                    return False
                return True

            self.reactor.until(there)
            yield url
        finally:
            pool.terminate()
            pool.wait()


class AwayTests(TroubleCase):
    """An engine that goes away, or does not answer."""

    def setUp(self) -> None:
        super().setUp()
        self.engine = Engine({**FAST, "synchronous_commit": "on"})
        self.addCleanup(self.engine.close)

    def pass_time(self, there: Callable[[], object]) -> None:
        """Let time pass quicker than it does: nothing that is answered is waited for."""
        for _ in range(200):
            if there():
                return
            self.reactor.advance(0.25)
            self.reactor.pump(0.01)
        self.fail("it never came")

    def test_stopped_in_its_tracks(self) -> None:
        """An engine that says nothing: publishers are refused in a bounded time, and all goes on
        when it does; what was under way is stored once, if at all."""
        times = Times()
        log = self.log(self.engine.url(), times=times)
        self.works(log)
        self.engine.signal(signal.SIGSTOP)
        began = self.reactor.seconds()
        answer = log.append([entry(LOBBY, "b")], 0)
        turns: list[float] = []
        answer.addErrback(lambda failure: (turns.append(self.reactor.seconds()), failure)[1])
        self.pass_time(lambda: turns)
        self.assertLess(turns[0] - began, times.connect + times.statement + 1)
        self.failureResultOf(answer, StoreUnavailable)
        # While it is known to be away nobody waits.
        self.pass_time(lambda: log._writer.away)
        self.failureResultOf(log.append([entry(LOBBY, "c")], 0), StoreUnavailable)
        self.engine.signal(signal.SIGCONT)
        self.works(log)
        page = self.reactor.wait(log.read(LOBBY, 0, 100, 2**20))
        texts = [one.data for one in page.messages]
        self.assertEqual(texts.count(b'"a"'), 2)
        self.assertLessEqual(texts.count(b'"b"'), 1)
        self.assertTrue(any("is available again" in one for one in self.said))

    def test_killed(self) -> None:
        """An engine that is killed and started again: nothing that was acknowledged is lost, and
        publishes that are made meanwhile are refused or stored, once."""
        log = self.log(self.engine.url())
        acknowledged = []
        for number in range(3):
            self.reactor.wait(log.append([entry(LOBBY, f"{number}")], 0))
            acknowledged.append(f'"{number}"'.encode())
            answer = log.append([entry(LOBBY, f"{number}?")], 0)
            self.engine.kill()
            answer.addErrback(lambda failure: None if failure.check(StoreUnavailable) else failure)
            for _ in range(5):
                self.reactor.pump(0.05)
            self.engine.start()
            self.reactor.wait(answer)
            self.reactor.until(lambda: log._writer.connection and log.reader().connection)
        page = self.reactor.wait(log.read(LOBBY, 0, 100, 2**20))
        stored = [one.data for one in page.messages]
        for data in acknowledged:
            self.assertEqual(stored.count(data), 1)
        self.assertEqual(len(stored), len(set(stored)))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_locked(self) -> None:
        """Somebody holds the store's row: a publish is refused in time, by the engine itself."""
        # By its own clock, which a test cannot turn; and enough for what is to work.
        log = self.log(self.engine.url(), times=Times(statement=3.0), schema="held")
        self.works(log)
        with self.engine.connect() as by_hand:
            by_hand.execute("BEGIN")
            by_hand.execute("SELECT * FROM held.store FOR UPDATE")
            self.refused(log)
            self.assertIn("it does not answer in time", self.said[-1])
            # The same connection: it answered.
            self.assertIsNotNone(log._writer.connection)
            by_hand.execute("ROLLBACK")
        self.works(log)
