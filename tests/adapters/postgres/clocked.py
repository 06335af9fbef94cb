"""A log in PostgreSQL whose time is a test's, driven without a reactor's loop."""

from __future__ import annotations

import atexit
import itertools
import os
from collections.abc import Collection, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from takotwist.adapters.postgres.log import PostgresReplayLog
from takotwist.adapters.postgres.schema import Functions
from takotwist.core.log import Append, Appended
from tests.adapters.postgres.engine import engine
from tests.adapters.postgres.pumped import PumpedReactor

#: A sequence of the test's, in the same schema, holds the engine's time.  (A table would be one of
#: another program, and time must not depend on a snapshot.)
FUNCTIONS = Functions(clock="(SELECT last_value FROM test_clock)")

_numbers = itertools.count(1)

#: One connection for what tests do by hand.
_hands: list[Any] = []


class World:
    """One schema of the shared engine, and the logs of several nodes on it."""

    def __init__(self, now_us: int, reactor: PumpedReactor | None = None) -> None:
        self.reactor = reactor or PumpedReactor()
        self.schema = f"t{os.getpid()}_{next(_numbers)}"
        self.url = engine().url()
        self.do(f"CREATE SCHEMA {self.schema}")
        self.do("CREATE SEQUENCE test_clock MINVALUE 0")
        self.set_clock(now_us)

    def set_clock(self, now_us: int) -> None:
        """Set the engine's clock."""
        self.do(f"SELECT setval('test_clock', {now_us})")

    def do(self, sql: str) -> list[Any]:
        """Something by hand; what it gave."""
        if not _hands or _hands[0].closed:
            _hands[:] = [engine().connect()]
            _hands[0].execute("SET client_min_messages = error")
            atexit.register(_hands[0].close)
        cursor = _hands[0].execute(f"SET search_path = {self.schema}").execute(sql)
        return [] if cursor.description is None else cursor.fetchall()

    def close(self) -> None:
        """Remove the schema."""
        self.do(f"DROP SCHEMA {self.schema} CASCADE")

    def log(self, **more: Any) -> ClockedLog:
        """The log of one more node."""
        return ClockedLog(self, **more)


class ClockedLog(PostgresReplayLog):
    """Takes the time of an append or a sweep for the engine's."""

    def __init__(self, world: World, **more: Any) -> None:
        self.world = world
        given: dict[str, Any] = {
            "node": f"node{next(_numbers)}",
            "reactor": world.reactor,
            "random": lambda: 0.5,
            "schema": world.schema,
            "functions": FUNCTIONS,
            **more,
        }
        super().__init__(world.url, **given)

    def stop(self) -> Deferred[None]:
        # To the end: who only cleans up does not pump.
        stopping = super().stop()
        self.world.reactor.until(lambda: stopping.called)
        return stopping

    def append(self, entries: Sequence[Append], now_us: int) -> Deferred[list[Appended]]:
        self.world.set_clock(max(now_us, 0))
        return super().append(entries, now_us)

    def sweep(self, now_us: int, in_use: Collection[str]) -> Deferred[bool]:
        self.world.set_clock(now_us)
        return super().sweep(now_us, in_use)
