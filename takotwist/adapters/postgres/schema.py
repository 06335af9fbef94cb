"""Brings a PostgreSQL to the schema of this program.

The tables are the files ``schema/NNN_*.sql`` in order, the functions ``schema/functions.sql``
under names that end in the file's digest: so two versions of the program work side by side while
nodes are replaced one after the other, each with its own functions.  Rule: all of it happens in
one transaction, under a lock that makes a second node wait, or not at all.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files

import attrs
from psycopg.pq.abc import PGresult

from takotwist.adapters.postgres.connection import Connection
from takotwist.adapters.postgres.errors import Kind, Trouble
from takotwist.core import retention

#: Seconds that an upgrade may take, another node's included.
UPGRADE_SECONDS = 600.0

#: How long a message that was removed, and the note about a batch, stay for nodes that have not
#: reported them yet: longer than a usual pause of a node.
KEEP_US = 10_000_000

#: How long a node counts as there after its last sign of life, and is remembered.
LIVES_US, FORGOTTEN_US = 15_000_000, 3_600_000_000

#: How far ids jump with another run of the engine: more than clocks are apart.
JUMP_US = 600_000_000

#: How long a node that moves the outbox over may be silent before another one does it.
MOVER_US = 5_000_000

#: Functions of a version that was not here for so long go.
_UNUSED_US = 30 * 24 * 3600 * 1_000_000

#: Unix time in microseconds; the engine's clock is the one that counts.
CLOCK = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

#: An expression for the run of the engine: see function ``fence``.
FENCE = (
    "(SELECT system_identifier FROM pg_control_system()) || '/'"
    " || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || '/'"
    " || 'store'::regclass::oid || '.' || pg_relation_filenode('store') || '.'"
    " || pg_relation_filenode('topic') || '.' || pg_relation_filenode('message')"
)

_CONSTANTS = {
    "AHEAD_US": retention.AHEAD_US,
    "APPEND_MESSAGES": retention.APPEND_MESSAGES,
    "DAY_US": retention.DAY_US,
    "FORGOTTEN_US": FORGOTTEN_US,
    "JUMP_US": JUMP_US,
    "KEEP_US": KEEP_US,
    "LIVES_US": LIVES_US,
    "MOVER_US": MOVER_US,
    "MAX_MARKS": retention.MAX_MARKS,
    "STEP_MESSAGES": retention.STEP_MESSAGES,
    "STEP_TOPICS": retention.STEP_TOPICS,
    "WINDOWS_REMEMBERED": retention.WINDOWS_REMEMBERED,
}


@attrs.frozen(slots=True)
class Step:
    """One SQL file.

    :ivar number: its place.
    :ivar sql: its statements.
    :ivar needs: the least number of steps that a program has to know to work with it, from a
        first line ``-- works with programs of step N``; its own number where it says nothing.
    """

    number: int
    sql: str
    needs: int

    @classmethod
    def of(cls, number: int, sql: str) -> Step:
        """Of a file's text."""
        said = re.match(r"-- works with programs of step (\d+)\n", sql)
        return cls(number, sql, int(said[1]) if said else number)


def _steps() -> tuple[Step, ...]:
    folder = files("takotwist.adapters.postgres") / "schema"
    return tuple(
        Step.of(int(file.name[:3]), file.read_text("utf-8"))
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name[:3].isdigit()
    )


#: The tables of this program.
STEPS = _steps()

_FUNCTIONS = (files("takotwist.adapters.postgres") / "schema" / "functions.sql").read_text("utf-8")


class Functions:
    """The functions of one version.

    :param clock: an expression for the time; a test's is another one.
    """

    def __init__(self, clock: str = CLOCK) -> None:
        constants = {**_CONSTANTS, "CLOCK": clock, "FENCE": FENCE}
        text = re.sub(
            r":([A-Z_]{2,})",
            lambda found: str(constants.get(found[1], found[0])),
            _FUNCTIONS,
        )
        self.digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.sql = text.replace(":DIGEST", self.digest).replace("@", f"_{self.digest}")

    def name(self, name: str) -> str:
        """As PostgreSQL knows a function of the file."""
        return f"{name}_{self.digest}"


class Schema:
    """The schema of one log.

    :param name: of the schema in the database.
    """

    def __init__(self, name: str, functions: Functions, steps: Sequence[Step] = STEPS) -> None:
        self.name = name
        self.functions = functions
        self._steps = steps

    async def bring_up_to_date(self, connection: Connection) -> None:
        """Make it, or upgrade it, where it is not what this program needs.

        :raises Trouble: it is another program's, or newer, or this role may not.
        """
        if await self._is_there(connection):
            return
        try:
            await connection.script(
                "BEGIN; SET LOCAL statement_timeout = 0;"
                f" SELECT pg_advisory_xact_lock(hashtext('takotwist schema {self.name}'))",
                UPGRADE_SECONDS,
            )
            # Another node may have done it meanwhile.
            if not await self._is_there(connection):
                await self._make(connection)
            await connection.script("COMMIT")
        except Trouble:
            if connection.usable:
                await connection.script("ROLLBACK")
            raise

    async def _is_there(self, connection: Connection) -> bool:
        if await self._version(connection) < self._steps[-1].number:
            return False
        [result] = await connection.script(
            f"SELECT count(*) FROM \"{self.name}\".code WHERE digest = '{self.functions.digest}'"
        )
        return _number(result) > 0

    async def _version(self, connection: Connection) -> int:
        """The schema version of the tables."""
        [result] = await connection.script(
            f"SELECT to_regclass('\"{self.name}\".takotwist') IS NOT NULL,"
            " EXISTS (SELECT FROM pg_class WHERE relnamespace ="
            f" to_regnamespace('\"{self.name}\"') AND relkind IN ('r', 'p', 'v', 'm', 'f'))"
        )
        ours, tables = (result.get_value(0, at) == b"t" for at in range(2))
        if not ours:
            if tables:
                raise Trouble(Kind.FOREIGN, f"schema {self.name}")
            return 0
        [result] = await connection.script(
            f'SELECT max(number), max(needs) FROM "{self.name}".takotwist'
        )
        version, needs = _number(result), _number(result, 1)
        newest = self._steps[-1].number
        if needs > newest:
            raise Trouble(Kind.NEWER, f"its tables are {version}, this program knows {newest}")
        return version

    async def _make(self, connection: Connection) -> None:
        version = await self._version(connection)
        script = []
        if version == 0:
            # IF NOT EXISTS asks for rights that are not needed where it exists.
            [result] = await connection.script(
                f"SELECT count(*) FROM pg_namespace WHERE nspname = '{self.name}'"
            )
            if not _number(result):
                script.append(f'CREATE SCHEMA "{self.name}"')
            script.append(
                "CREATE TABLE takotwist (number integer PRIMARY KEY, needs integer NOT NULL)"
            )
        else:
            # A step that writes a table anew gives it another file: that is no other run.
            script.append(
                f"SELECT set_config('takotwist.same', (fence = {FENCE})::text, true) FROM store"
            )
        for step in self._steps:
            if step.number > version:
                script.append(step.sql)
                script.append(f"INSERT INTO takotwist VALUES ({step.number}, {step.needs})")
        functions = self.functions
        clock, fence = functions.name("clock"), functions.name("fence")
        await connection.script(";\n".join(script), UPGRADE_SECONDS)
        [result] = await connection.script(
            f"SELECT count(*) FROM code WHERE digest = '{functions.digest}'"
        )
        if not _number(result):
            await connection.script(_WITHOUT_UNUSED + functions.sql, UPGRADE_SECONDS)
            await connection.script(f"INSERT INTO code VALUES ('{functions.digest}', {clock}())")
        if version == 0:
            await connection.script(
                "INSERT INTO store (only_row, began, head, removed, fence)"
                f" SELECT 1, now_us, now_us, now_us, {fence}() FROM {clock}() now_us"
            )
        else:
            await connection.script(
                f"UPDATE store SET fence = {fence}()"
                " WHERE current_setting('takotwist.same') = 'true'"
            )


#: Removes the functions of versions that are not used any more.
_WITHOUT_UNUSED = f"""
DO $do$
DECLARE
    gone text;
    one record;
BEGIN
    FOR gone IN DELETE FROM code WHERE used_us < {CLOCK} - {_UNUSED_US} RETURNING digest LOOP
        FOR one IN SELECT oid::regprocedure AS name FROM pg_proc
            WHERE pronamespace = current_schema()::regnamespace
                AND right(proname, length(gone) + 1) = '_' || gone
        LOOP
            EXECUTE 'DROP FUNCTION ' || one.name;
        END LOOP;
    END LOOP;
END
$do$;
"""


def _number(result: PGresult, column: int = 0) -> int:
    value = result.get_value(0, column)
    return -1 if value is None else int(value)
