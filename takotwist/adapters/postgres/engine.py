"""The connections of a node to its PostgreSQL: how one is made, checked and kept.

Rule: a connection is given to nobody before it has been found to be a writable PostgreSQL that
is new enough, reached without a pool that loses notifications, with the schema of this program,
and known to be the same run of the engine as before, or taken up as another one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import attrs
from psycopg.pq.abc import PGresult
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger

from takotwist.adapters.log_condition import Condition
from takotwist.adapters.postgres.address import Address
from takotwist.adapters.postgres.connection import Connection, Statement, open_connection
from takotwist.adapters.postgres.errors import Kind, Trouble
from takotwist.adapters.postgres.link import Link
from takotwist.adapters.postgres.schema import UPGRADE_SECONDS, Functions, Schema
from takotwist.adapters.postgres.values import int8, read_int8
from takotwist.interfaces import IReactor

#: PostgreSQL 13.
OLDEST = 130000

#: Seconds for a notification that a connection sends to another one.
PROBE_SECONDS = 2.0

#: The engine knows another past than this node.
FENCED = "TK001"


@attrs.frozen(slots=True)
class Times:
    """Bounds in seconds.

    :ivar connect: for one address.
    :ivar statement: for one call.
    """

    connect: float = 5.0
    statement: float = 5.0


class Engine:
    """Makes connections for one log.

    :param schema: in which everything is.
    :param power: what is acknowledged is on the engine's disk, whatever its configuration says.
    :param replaced: called with the store's head when the engine was found to be another run.
    :ivar seen: the highest id that this node knows.
    """

    log = Logger()

    def __init__(
        self,
        reactor: IReactor,
        url: str,
        schema: str,
        times: Times,
        *,
        replaced: Callable[[int], object] = lambda _: None,
        random: Callable[[], float],
        power: bool = False,
        functions: Functions | None = None,
        oldest: int = OLDEST,
    ) -> None:
        self.seen = 0
        self._replaced = replaced
        self.times = times
        self.name, self.outbox_name = schema, f"{schema}_outbox"
        self._reactor = reactor
        self._random = random
        self._address = Address.of(url)
        self._power = power
        self._functions = functions or Functions()
        self._schema = Schema(schema, self._functions)
        self._oldest = oldest
        self.condition = Condition(self._address.name)
        self._hello = self.function("hello", 1)
        self._refence = self.function("refence", 1)

    def function(self, name: str, parameters: int) -> Statement:
        """The statement that calls one of the log's functions."""
        given = ", ".join(f"${at + 1}" for at in range(parameters))
        called = f"SELECT * FROM {self._functions.name(name)}({given})"
        return Statement(name.encode(), called.encode())

    def link(
        self,
        side: str,
        *,
        listens: bool = False,
        opened: Callable[[Connection], object] = lambda _: None,
    ) -> Link:
        """A connection that is kept.

        :param side: for the operator: ``write`` or ``read``.
        :param listens: it has to hear notifications.
        :param opened: see `Link`.
        """
        return Link(
            self._reactor,
            lambda: ensureDeferred(self._dial(listens)),
            self._random,
            partial(self.condition.failed, side),
            opened,
        )

    def saw(self, head: int) -> None:
        """Know that the store has come to `head` at least."""
        self.seen = max(self.seen, head)

    async def _dial(self, listens: bool) -> Connection:
        trouble: Trouble | None = None
        for string in await self._address.attempts(self._reactor, self._random):
            try:
                return await self._reach(string, listens)
            except Trouble as failed:
                # The last one that says more than "nobody there".
                if trouble is None or failed.kind is not Kind.UNREACHABLE:
                    trouble = failed
        assert trouble is not None
        raise trouble

    async def _open(self, string: str) -> Connection:
        return await open_connection(
            self._reactor,
            string,
            connect_timeout=self.times.connect,
            timeout=self.times.statement,
            secret=self._address.secret,
        )

    async def _reach(self, string: str, listens: bool) -> Connection:
        connection = await self._open(string)
        try:
            await self._prepare(connection, string, listens)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _prepare(self, connection: Connection, string: str, listens: bool) -> None:
        version = connection.pgconn.server_version
        if version < self._oldest:
            raise Trouble(Kind.TOO_OLD, f"it is version {version // 10000}.{version % 10000}")
        [result] = await connection.script(self._settings())
        if result.get_value(0, 0) == b"on":
            raise Trouble(Kind.READ_ONLY, "transaction_read_only is on")
        pooled = result.get_value(0, 1) != b"%d" % connection.pgconn.backend_pid
        if listens or pooled:
            await self._probe(connection, string)
        await self._schema.bring_up_to_date(connection)
        await self.greet(connection)
        if listens:
            await connection.script(f'LISTEN "{self.name}"; LISTEN "{self.outbox_name}"')

    def _settings(self) -> str:
        settings = {
            "search_path": f'"{self.name}"',
            "statement_timeout": str(int(self.times.statement * 1000)),
            "default_transaction_isolation": "read committed",
            "client_min_messages": "error",
            # The functions know which indexes they use; a plan from before the tables had
            # grown must not scan them.
            "plan_cache_mode": "force_generic_plan",
            "enable_seqscan": "off",
            "enable_hashjoin": "off",
            "enable_mergejoin": "off",
            "jit": "off",
        }
        if self._power:
            settings["synchronous_commit"] = ""
        said = ", ".join(
            f"set_config('{name}', '{value}', false)"
            if value
            else f"set_config('{name}', CASE current_setting('{name}')"
            f" WHEN 'off' THEN 'on' ELSE current_setting('{name}') END, false)"
            for name, value in settings.items()
        )
        return (
            "SELECT CASE WHEN pg_is_in_recovery() THEN 'on' ELSE"
            f" current_setting('transaction_read_only') END, pg_backend_pid(), {said}"
        )

    async def _probe(self, connection: Connection, string: str) -> None:
        """See that notifications reach `connection`."""
        name = f"takotwist_probe_{int(self._random() * 2**53):x}"
        heard: Deferred[None] = Deferred()
        connection.notified = lambda notify: (
            None if heard.called or notify.relname != name.encode() else heard.callback(None)
        )
        timer = self._reactor.callLater(
            PROBE_SECONDS,
            lambda: heard.errback(Trouble(Kind.NO_LISTEN, "a notification did not arrive")),
        )
        try:
            await connection.script(f'LISTEN "{name}"')
            other = await self._open(string)
            try:
                await other.script(f'NOTIFY "{name}"')
                await heard
            finally:
                other.close()
            await connection.script(f'UNLISTEN "{name}"')
        finally:
            connection.notified = lambda _: None
            heard.addErrback(lambda _: None)
            if timer.active():
                timer.cancel()

    async def greet(self, connection: Connection) -> int:
        """See whether it is the run of the engine that this node knows; the store's head.

        Where it is another one it is taken up: all that was before is too old.
        """
        result = await connection.call(self._hello, [int8(self.seen)])
        if result.get_value(0, 0) == b"\1":
            return read_int8(result.get_value(0, 1))
        # Long, where it counts all messages anew.
        [_] = await connection.script("SET statement_timeout = 0")
        try:
            result = await connection.call(self._refence, [int8(self.seen)], UPGRADE_SECONDS)
        finally:
            if connection.usable:
                milliseconds = int(self.times.statement * 1000)
                await connection.script(f"SET statement_timeout = {milliseconds}")
        head = read_int8(result.get_value(0, 0))
        if result.get_value(0, 1) == b"\1":
            self.condition.notice(
                "is another run of the engine than before (it was restored, emptied, or a replica"
                " took over), so messages may be lost: older cursors are too old"
            )
        self._replaced(head)
        return head

    async def call(
        self,
        link: Link,
        statement: Statement,
        parameters: Sequence[bytes | None] = (),
    ) -> PGresult:
        """Call a function that may be called twice, on whatever connection there is.

        :raises Trouble: it cannot be.
        """
        for last in (False, False, True):
            connection = await link.use(self.times.connect)
            try:
                return await connection.call(statement, parameters)
            except Trouble as trouble:
                if last or trouble.kind is Kind.SLOW:
                    raise
                if trouble.code == FENCED:
                    await self.greet(connection)
                elif trouble.code not in AGAIN and connection.usable:
                    raise
        raise AssertionError


#: Undone by the engine for no fault of the statement: deadlock, serialization.
AGAIN = frozenset({"40P01", "40001"})
