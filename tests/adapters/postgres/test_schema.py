"""Tables and functions, and nodes of several versions."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.postgres.address import Address
from takotwist.adapters.postgres.connection import Connection, open_connection
from takotwist.adapters.postgres.entries import digest_of
from takotwist.adapters.postgres.errors import Kind, Trouble
from takotwist.adapters.postgres.log import PostgresReplayLog
from takotwist.adapters.postgres.schema import CLOCK, FENCE, STEPS, Functions, Schema, Step
from tests.adapters.postgres.engine import engine
from tests.adapters.postgres.pumped import PumpedReactor
from tests.contracts.replay_log import LOBBY, entry
from tests.contracts.replay_log_keys import named

#: The last step, and one that there is not yet.
NEWEST = STEPS[-1].number
LATER = NEWEST + 1


class SchemaTests(SynchronousTestCase):
    """On the shared engine, in a schema of its own."""

    def setUp(self) -> None:
        self.reactor = PumpedReactor(passing=True)
        self.name = f"schema{os.getpid()}"
        self.by_hand = engine().connect()
        self.by_hand.execute("SET client_min_messages = error")
        self.by_hand.execute(f"SET search_path = {self.name}")
        self.addCleanup(self.by_hand.close)
        self.addCleanup(lambda: self.by_hand.execute(f"DROP SCHEMA IF EXISTS {self.name} CASCADE"))

    def connection(self) -> Connection:
        address = Address.of(engine().url())
        [string] = self.reactor.wait(address.attempts(self.reactor, lambda: 0.0))
        opening = open_connection(self.reactor, string, connect_timeout=5, timeout=20)
        connection = self.reactor.wait(opening)
        self.addCleanup(connection.close)
        self.reactor.wait(connection.script(f"SET search_path = {self.name}"))
        return connection

    def bring(self, *steps: Step, functions: Functions | None = None) -> Deferred[None]:
        schema = Schema(self.name, functions or Functions(), steps or STEPS)
        return ensureDeferred(schema.bring_up_to_date(self.connection()))

    def log(self) -> PostgresReplayLog:
        """A node's, started."""
        log = PostgresReplayLog(
            engine().url(),
            node="one",
            reactor=self.reactor,
            random=lambda: 0.5,
            schema=self.name,
        )
        self.reactor.wait(log.start())
        self.addCleanup(lambda: self.reactor.wait(log.stop()))
        return log

    def rows(self, sql: str) -> list[Any]:
        return self.by_hand.execute(sql).fetchall()

    def functions(self, name: str) -> int:
        [[count]] = self.rows(
            f"SELECT count(*) FROM pg_proc WHERE pronamespace = '{self.name}'::regnamespace"
            f" AND proname LIKE '{name}\\_%'"
        )
        return int(count)

    def trouble(self, answer: Deferred[Any]) -> Trouble:
        with self.assertRaises(Trouble) as raised:
            self.reactor.wait(answer)
        return raised.exception

    def test_two_at_once(self) -> None:
        """Nodes that start in one moment make it once."""
        self.reactor.wait(gatherResults([self.bring() for _ in range(4)]))
        self.assertEqual(
            self.rows("SELECT number FROM takotwist"), [(one.number,) for one in STEPS]
        )
        self.assertEqual(len(self.rows("SELECT * FROM store")), 1)
        self.assertEqual(self.functions("append"), 1)

    def test_failed(self) -> None:
        """Where a step fails nothing is left of all of them, and the lock is free."""
        self.assertEqual(
            self.trouble(self.bring(*STEPS, Step.of(LATER, "SELECT 1 / 0"))).code, "22012"
        )
        self.assertEqual(self.rows(f"SELECT to_regclass('{self.name}.store')"), [(None,)])
        self.reactor.wait(self.bring())

    def test_upgrade(self) -> None:
        """A later step changes the tables under what is stored, and cursors stay good; a table
        that is written anew is no other run of the engine."""
        log = self.log()
        [answer] = self.reactor.wait(log.append([entry(LOBBY, "a")], 0))
        text = (
            f"-- works with programs of step {NEWEST}\n"
            "ALTER TABLE message ALTER COLUMN size TYPE numeric;"
            " ALTER TABLE message ALTER COLUMN size TYPE bigint"
        )
        self.reactor.wait(self.bring(*STEPS, Step.of(LATER, text)))
        self.assertEqual(
            self.rows("SELECT max(number), max(needs) FROM takotwist"), [(LATER, NEWEST)]
        )
        page = self.reactor.wait(log.read(LOBBY, 0, 10, 2**20))
        self.assertEqual([one.id for one in page.messages], [answer.messages[0].id])
        page.judge(answer.messages[0].id)
        # A program of before works on, also when it starts now.
        self.reactor.wait(self.bring())

    def test_upgrade_to_keys(self) -> None:
        """What a program of the first step stored is read, counted and replaced by this one."""
        before = Functions()
        before.digest = "before"
        # This program's functions are of newer tables; these two are of any.
        before.sql = "".join(
            f"CREATE FUNCTION {name}_before() RETURNS {kind} LANGUAGE sql AS $$ SELECT {sql} $$;"
            for name, kind, sql in (("clock", "bigint", CLOCK), ("fence", "text", "'x'"))
        )
        self.reactor.wait(self.bring(*STEPS[:1], functions=before))
        self.by_hand.execute(
            "INSERT INTO topic (digest, key, head, oldest, messages, bytes, removed, doomed,"
            " purged, replay_window_ms, inactivity_ttl_ms, replay_max_messages, replay_max_bytes)"
            " SELECT %s, %s, began + 1, began + 1, 1, 70, began, began, began, 60000, 0, 9, 9999"
            " FROM store",
            (digest_of(LOBBY.key), LOBBY.key),
        )
        self.by_hand.execute(
            "INSERT INTO message (topic, id, epoch, seq, size, type, data)"
            " SELECT t.id, t.head, 0, 0, 70, 'msg', '\"old\"' FROM topic t"
        )
        self.by_hand.execute(f"UPDATE store SET head = began + 1, fence = {FENCE}")
        log = self.log()
        for text in "ab":
            self.reactor.wait(log.append([named(LOBBY, True, ("key", text))], 0))
        page = self.reactor.wait(log.read(LOBBY, 0, 10, 2**20))
        self.assertEqual([one.data for one in page.messages], [b'"old"', b'"b"'])
        self.assertEqual(self.rows("SELECT messages, kept FROM topic"), [(1, 1)])
        stats = self.reactor.wait(log.stats())
        self.assertEqual((stats.topics, stats.messages), (1, 2))

    def test_newer(self) -> None:
        """A program is kept from tables that it does not know."""
        self.reactor.wait(self.bring(*STEPS, Step.of(LATER, "CREATE TABLE more (x integer)")))
        self.assertIs(self.trouble(self.bring()).kind, Kind.NEWER)

    def test_functions_side_by_side(self) -> None:
        """Each version has its own functions; those that nobody has used for long go."""
        self.reactor.wait(self.bring())
        self.reactor.wait(self.bring(functions=Functions(clock=f"({CLOCK} + 1)")))
        self.assertEqual(self.functions("append"), 2)
        self.by_hand.execute("UPDATE code SET used_us = 0")
        self.reactor.wait(self.bring(functions=Functions(clock=f"({CLOCK} + 2)")))
        self.assertEqual(self.functions("append"), 1)
        self.assertEqual(len(self.rows("SELECT * FROM code")), 1)

    def test_used(self) -> None:
        """A node that is there says so of its version."""
        log = self.log()
        self.by_hand.execute("UPDATE code SET used_us = 0")
        self.reactor.wait(log._directory.say())
        self.assertGreater(self.rows("SELECT used_us FROM code")[0][0], 0)
        self.assertEqual([one.name for one in self.reactor.wait(log.nodes())], ["one"])
