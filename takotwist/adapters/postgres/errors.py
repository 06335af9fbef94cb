"""Why PostgreSQL cannot be used as the replay log, and what the operator can do about it."""

from __future__ import annotations

from enum import Enum

import psycopg

from takotwist.adapters import log_condition


class Kind(Enum):
    """Kinds of trouble, each with its advice."""

    UNREACHABLE = (
        "it cannot be reached",
        "See that PostgreSQL runs there and lets this machine in.",
    )
    SLOW = (
        "it does not answer in time",
        "See its load and its locks, or raise replay.statement_timeout_seconds.",
    )
    PASSWORD = (
        "it does not accept user and password",
        "Set both in replay.url, or in a file that PGPASSFILE names; see pg_hba.conf there.",
    )
    NO_DATABASE = ("it has no such database", "Create it, or name another one in replay.url.")
    CROWDED = (
        "it has no connection left",
        "Each server needs four; raise max_connections there.",
    )
    NO_RIGHTS = (
        "this role may not do what the log needs",
        "GRANT CREATE ON DATABASE to the role, or let it own the schema that replay.schema names.",
    )
    READ_ONLY = (
        "it is a replica, or read-only",
        "Name the primary in replay.url, or all hosts with target_session_attrs=read-write.",
    )
    TOO_OLD = ("its version is too old", "Use PostgreSQL 13 or newer.")
    NO_LISTEN = (
        "notifications do not arrive, as behind pgbouncer in transaction mode",
        "Let replay.url reach PostgreSQL itself, or a pool in session mode.",
    )
    FOREIGN = (
        "the schema holds tables of another program",
        "Set replay.schema to another name.",
    )
    NEWER = (
        "the schema was made by a newer takotwist",
        "Run that version again, or set replay.schema to another name.",
    )
    FULL = ("its disk is full", "Free some space on that disk.")
    STOPPED = ("it was stopped, or is starting", "See its own log.")
    FAILED = ("PostgreSQL reports an error", "See the detail.")


class Trouble(log_condition.Trouble):
    """The engine cannot be used now.

    :ivar code: PostgreSQL's SQLSTATE, empty where it gave none.
    :ivar executed: whether what was asked for may have been done for all that.
    """

    def __init__(self, kind: Kind, detail: str, *, code: str = "", executed: bool = False) -> None:
        super().__init__(kind, detail)
        self.code = code
        self.executed = executed

    @classmethod
    def of(cls, error: psycopg.Error, secret: str = "") -> Trouble:
        """Translate an error of psycopg.

        :param secret: the password, which is in no text of ours whatever libpq says.
        """
        code = error.sqlstate or ""
        said = error.diag.message_primary or str(error)
        detail = one_line(said, secret)
        kind = _CODES.get(code) or _CLASSES.get(code[:2])
        if kind is None:
            kind = Kind.FAILED if code else _of_text(detail)
        return cls(kind, detail, code=code)


_CODES = {
    "57014": Kind.SLOW,  # query_canceled: the statement's timeout
    "55P03": Kind.SLOW,  # lock_not_available
    "57P01": Kind.STOPPED,
    "57P02": Kind.STOPPED,
    "57P03": Kind.STOPPED,
    "25006": Kind.READ_ONLY,
    "42501": Kind.NO_RIGHTS,
    "3D000": Kind.NO_DATABASE,
    "53300": Kind.CROWDED,
    "53100": Kind.FULL,
}
_CLASSES = {"08": Kind.UNREACHABLE, "28": Kind.PASSWORD}

# A connection that was refused comes without a code, in the words of libpq and the engine.
_TEXTS = (
    ("password authentication failed", Kind.PASSWORD),
    ("no password supplied", Kind.PASSWORD),
    ("authentication failed", Kind.PASSWORD),
    ("no pg_hba.conf entry", Kind.PASSWORD),
    ('role "', Kind.PASSWORD),
    ('database "', Kind.NO_DATABASE),
    ("too many clients", Kind.CROWDED),
    ("connection slots are reserved", Kind.CROWDED),
    ("too many connections", Kind.CROWDED),
    ("session is read-only", Kind.READ_ONLY),
    ("is in hot standby", Kind.READ_ONLY),
    ("starting up", Kind.STOPPED),
    ("shutting down", Kind.STOPPED),
    ("terminating connection", Kind.STOPPED),
)


def _of_text(text: str) -> Kind:
    # libpq names the database before the engine's own words, which begin at FATAL.
    said = text[text.rfind("FATAL") :] if "FATAL" in text else text
    for part, kind in _TEXTS:
        if part in said:
            return kind
    return Kind.UNREACHABLE


def one_line(text: str, secret: str) -> str:
    """`text` for a log: on one line, of bounded length, without the password."""
    if secret:
        text = text.replace(secret, "***")
    return " ".join(text.split())[:500]
