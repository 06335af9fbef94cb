"""What is wrong with PostgreSQL, by its codes and its words; and what no text of ours holds."""

from __future__ import annotations

import psycopg
from psycopg import errors
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.postgres.errors import Kind, Trouble, one_line

#: Of PostgreSQL's table of codes.
CODES = {
    "57014": Kind.SLOW,
    "55P03": Kind.SLOW,
    "57P01": Kind.STOPPED,
    "57P03": Kind.STOPPED,
    "25006": Kind.READ_ONLY,
    "42501": Kind.NO_RIGHTS,
    "3D000": Kind.NO_DATABASE,
    "53300": Kind.CROWDED,
    "53100": Kind.FULL,
    # By their class alone.
    "08006": Kind.UNREACHABLE,
    "28P01": Kind.PASSWORD,
    "28000": Kind.PASSWORD,
    # Of which there is nothing to advise.
    "23505": Kind.FAILED,
    "XX000": Kind.FAILED,
}

#: As libpq says it, where a connection was refused.
WORDS = {
    "connection refused": Kind.UNREACHABLE,
    'FATAL:  password authentication failed for user "app"': Kind.PASSWORD,
    "fe_sendauth: no password supplied": Kind.PASSWORD,
    'FATAL:  no pg_hba.conf entry for host "10.0.0.1"': Kind.PASSWORD,
    'FATAL:  role "app" does not exist': Kind.PASSWORD,
    'FATAL:  database "app" does not exist': Kind.NO_DATABASE,
    "FATAL:  sorry, too many clients already": Kind.CROWDED,
    "FATAL:  remaining connection slots are reserved for superusers": Kind.CROWDED,
    "session is read-only": Kind.READ_ONLY,
    "server is in hot standby mode": Kind.READ_ONLY,
    "FATAL:  the database system is starting up": Kind.STOPPED,
    "FATAL:  the database system is shutting down": Kind.STOPPED,
    # The database's name stands before what is wrong, and is not what is wrong.
    'connection to "h", database "d" failed: FATAL:  too many connections': Kind.CROWDED,
}


class TroubleTests(SynchronousTestCase):
    """`Trouble.of`."""

    def test_codes(self) -> None:
        for code, kind in CODES.items():
            trouble = Trouble.of(errors.lookup(code)("said"))
            self.assertEqual((trouble.kind, trouble.code), (kind, code))
            self.assertFalse(trouble.executed)

    def test_words(self) -> None:
        """Where there is no code."""
        for words, kind in WORDS.items():
            trouble = Trouble.of(psycopg.OperationalError(words))
            self.assertEqual((trouble.kind, trouble.code), (kind, ""), words)

    def test_code_before_words(self) -> None:
        """What a statement says is no reason to believe that its password is wrong."""
        said = errors.lookup("23505")("password authentication failed")
        self.assertEqual(Trouble.of(said).kind, Kind.FAILED)

    def test_no_secret(self) -> None:
        """Whatever libpq repeats, the password is not in what is logged."""
        error = psycopg.OperationalError('invalid port "hunter2@h"\n  in hunter2')
        text = f"{Trouble.of(error, 'hunter2')!s} {Trouble.of(error, 'hunter2')!r}"
        self.assertNotIn("hunter2", text)
        self.assertIn("***", text)

    def test_one_line(self) -> None:
        """However long it is, and however many lines it has."""
        self.assertEqual(one_line(" a\n\tb\r\n c ", ""), "a b c")
        self.assertEqual(len(one_line("x" * 10_000, "")), 500)

    def test_cut_after_the_secret(self) -> None:
        """A password that the bound would cut in two is gone before that."""
        text = one_line("x" * 497 + "hunter2", "hunter2")
        self.assertNotIn("hun", text)

    def test_advice(self) -> None:
        """Each kind says what is wrong and what to do, in a sentence."""
        for kind in Kind:
            what, advice = kind.value
            self.assertTrue(what and advice.endswith("."), kind)
