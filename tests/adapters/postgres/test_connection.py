"""One connection: libpq driven by a reactor."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import epollreactor, reactor
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from takotwist.adapters.postgres.address import Address
from takotwist.adapters.postgres.connection import GRACE, Connection, Statement, open_connection
from takotwist.adapters.postgres.errors import Kind, Trouble, one_line
from takotwist.adapters.postgres.values import (
    byteas,
    int4s,
    int8,
    int8s,
    read_byteas,
    read_int8,
    read_int8s,
    texts,
)
from takotwist.errors import ConfigError
from tests.adapters.postgres.engine import Engine, engine
from tests.adapters.postgres.pumped import PumpedReactor

ECHO = Statement(
    b"echo", b"SELECT $1::bigint, $2::bigint[], $3::bytea[], $4::text[], $5::integer[]::bigint[]"
)
SLEEP = Statement(b"sleep", b"SELECT pg_sleep(60)")


class ConnectionTests(SynchronousTestCase):
    """Against a real engine."""

    def setUp(self) -> None:
        self.reactor = PumpedReactor()

    def open(self, url: str = "", **more: Any) -> Connection:
        connection = self.reactor.wait(self.opening(url, **more))
        self.addCleanup(connection.close)
        return connection

    def opening(self, url: str = "", **more: Any) -> Deferred[Connection]:
        address = Address.of(url or engine().url())
        [string] = self.reactor.wait(address.attempts(self.reactor, lambda: 0.0))
        given = {"connect_timeout": 5.0, "timeout": 5.0, "secret": address.secret, **more}
        return open_connection(self.reactor, string, **given)

    def trouble(self, answer: Deferred[Any]) -> Trouble:
        with self.assertRaises(Trouble) as raised:
            self.reactor.wait(answer)
        return raised.exception

    def test_values_come_back(self) -> None:
        """Numbers, bytes and texts in arrays, empty ones too, go there and come back."""
        connection = self.open()
        for numbers, strings, words in (
            ([], [], []),
            ([1, -(2**60), 0], [b"", b"\x00\xff", b"x" * 70_000], ["", "é😀"]),
        ):
            result = self.reactor.wait(
                connection.call(
                    ECHO,
                    [
                        int8(2**53),
                        int8s(numbers),
                        byteas(strings),
                        texts(words),
                        int4s([one % 7 for one in numbers]),
                    ],
                )
            )
            columns = [result.get_value(0, at) for at in range(5)]
            self.assertEqual(read_int8(columns[0]), 2**53)
            self.assertEqual(list(read_int8s(columns[1])), numbers)
            self.assertEqual(read_byteas(columns[2]), strings)
            self.assertEqual([one.decode() for one in read_byteas(columns[3])], words)
            self.assertEqual(list(read_int8s(columns[4])), [one % 7 for one in numbers])

    def test_one_after_the_other(self) -> None:
        """Calls that were made together are answered in their order."""
        connection = self.open()
        order: list[int] = []
        for number in range(3):
            answer = connection.call(Statement(b"n%d" % number, b"SELECT 1"))
            answer.addCallback(lambda _, number=number: order.append(number))
        self.assertEqual(connection.busy, 6)
        self.reactor.until(lambda: len(order) == 3)
        self.assertEqual(order, [0, 1, 2])

    def test_larger_than_the_buffers(self) -> None:
        """What the kernel takes only in parts is sent whole; the reactor is not held meanwhile."""
        connection = self.open()
        data = os.urandom(2**20) * 16
        echo = Statement(b"large", b"SELECT $1::bytea")
        result = self.reactor.wait(connection.call(echo, [data]))
        self.assertEqual(result.get_value(0, 0), data)
        self.assertEqual(self.reactor.writers, {})

    def test_refused_statement(self) -> None:
        """One that the engine refuses fails with its reason, and the connection stays."""
        connection = self.open()
        trouble = self.trouble(connection.call(Statement(b"bad", b"SELECT no_such_function()")))
        self.assertEqual((trouble.kind, trouble.code), (Kind.FAILED, "42883"))
        self.assertFalse(trouble.executed)
        self.reactor.wait(connection.script("SELECT 1"))

    def test_notifications(self) -> None:
        """They are heard by an idle connection, and by one that is in a call."""
        connection = self.open()
        heard: list[bytes] = []
        connection.notified = lambda notify: heard.append(notify.extra)
        self.reactor.wait(connection.script("LISTEN tests"))
        with engine().connect() as other:
            other.execute("NOTIFY tests, 'idle'")
            self.reactor.until(lambda: heard)
            self.reactor.wait(connection.script("SELECT pg_notify('tests', 'busy')"))
            self.reactor.until(lambda: len(heard) == 2)
        self.assertEqual(heard, [b"idle", b"busy"])

    def test_too_slow(self) -> None:
        """One that takes too long ends the connection: what comes later is not its answer."""
        connection = self.open()
        lost: list[Trouble] = []
        connection.lost = lost.append
        answer = connection.call(SLEEP, timeout=1.0)
        behind = connection.call(ECHO)
        self.reactor.pump(0.05)
        self.reactor.advance(1.0 + GRACE)
        trouble = self.trouble(answer)
        self.assertEqual((trouble.kind, trouble.executed), (Kind.SLOW, True))
        self.assertFalse(self.trouble(behind).executed)
        self.assertEqual(len(lost), 1)
        self.assertFalse(connection.usable)
        self.assertEqual((self.reactor.readers, self.reactor.writers), ({}, {}))
        self.assertIs(self.trouble(connection.call(ECHO)).kind, Kind.SLOW)

    def test_ended_by_the_engine(self) -> None:
        """A backend that was ended, idle or in a call, is noticed at once."""
        for call in (False, True):
            connection = self.open()
            lost: list[Trouble] = []
            connection.lost = lost.append
            answer = connection.call(SLEEP) if call else None
            if answer is not None:
                answer.addErrback(lambda _: None)
            self.reactor.pump(0.05)
            with engine().connect() as other:
                other.execute("SELECT pg_terminate_backend(%s)", [connection.pgconn.backend_pid])
            self.reactor.until(lambda lost=lost: lost)
            self.assertEqual(self.reactor.readers, {})

    def test_closed(self) -> None:
        """After `close` nothing is left with the reactor, and what was under way has failed."""
        connection = self.open()
        answer = connection.call(SLEEP)
        connection.close()
        connection.close()
        self.assertIs(self.trouble(answer).kind, Kind.STOPPED)
        self.assertEqual((self.reactor.readers, self.reactor.writers), ({}, {}))
        self.assertEqual([one for one in self.reactor.getDelayedCalls() if one.active()], [])

    def test_refused_connection(self) -> None:
        """What is told when there is nobody, no database, or no such role."""
        engine()
        for url, kind in (
            ("postgresql://127.0.0.1:1/x", Kind.UNREACHABLE),
            ("postgresql:///x?host=/nowhere", Kind.UNREACHABLE),
            (engine().url(database="nowhere"), Kind.NO_DATABASE),
            (engine().url(user="nobody"), Kind.PASSWORD),
        ):
            self.assertIs(self.trouble(self.opening(url)).kind, kind)
            self.assertEqual((self.reactor.readers, self.reactor.writers), ({}, {}))

    def silent_host(self) -> Deferred[Connection]:
        """Connecting to somebody who takes the connection and says nothing."""
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        opening = self.opening(f"postgresql://127.0.0.1:{server.getsockname()[1]}/x")
        self.reactor.pump(0.05)
        return opening

    def test_cancelled(self) -> None:
        """A connection that is wanted no more leaves nothing with the reactor."""
        opening = self.silent_host()
        opening.cancel()
        self.failureResultOf(opening, CancelledError)
        self.assertEqual((self.reactor.readers, self.reactor.writers), ({}, {}))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_silent_host(self) -> None:
        """A host that takes the connection and says nothing is given up in time."""
        opening = self.silent_host()
        self.reactor.advance(5.0)
        self.assertIs(self.trouble(opening).kind, Kind.UNREACHABLE)
        self.assertEqual((self.reactor.readers, self.reactor.writers), ({}, {}))


class PasswordTests(SynchronousTestCase):
    """A password is in no text."""

    def test_not_in_the_name(self) -> None:
        """Neither in what the log calls the engine, nor where the value is printed."""
        address = Address.of("postgresql://me:geheim@db.example:6432/app?sslmode=require")
        self.assertEqual(address.name, "db.example/app")
        self.assertEqual(address.secret, "geheim")
        self.assertNotIn("geheim", repr(address))

    def test_not_in_the_error(self) -> None:
        """An address that cannot be read is not repeated."""
        for url in (
            "postgresql://me:geheim@h/x?no_such_key=1",
            "me:geheim@h",
            "postgresql://me:geh%eim@h/x",
        ):
            with self.assertRaises(ConfigError) as raised:
                Address.of(url)
            self.assertNotIn("geh", str(raised.exception))
            self.assertIn("replay.url", str(raised.exception))

    def test_wrong_password(self) -> None:
        """A password that is refused is told as such, and not shown."""
        strict = Engine()
        self.addCleanup(strict.close)
        with strict.connect() as by_hand:
            # As newer ones than 13 have it by themselves.
            by_hand.execute("SET password_encryption = 'scram-sha-256'")
            by_hand.execute("CREATE ROLE app LOGIN PASSWORD 'right'")
        hba = strict.data / "pg_hba.conf"
        hba.write_text("local all tako trust\nlocal all all scram-sha-256\n")
        os.kill(strict.pid, signal.SIGHUP)
        reactor = PumpedReactor()

        def trouble(url: str) -> Trouble | None:
            address = Address.of(url)
            [string] = reactor.wait(address.attempts(reactor, lambda: 0.0))
            try:
                opening = open_connection(
                    reactor, string, connect_timeout=5, timeout=5, secret=address.secret
                )
                reactor.wait(opening).close()
            except Trouble as trouble:
                return trouble
            return None

        reactor.until(lambda: trouble(strict.url(user="app")) is not None)
        without = trouble(strict.url(user="app"))
        wrong = trouble(strict.url(user="app:geheim"))
        assert without is not None and wrong is not None
        self.assertEqual((without.kind, wrong.kind), (Kind.PASSWORD, Kind.PASSWORD))
        self.assertNotIn("geheim", wrong.detail)
        self.assertIsNone(trouble(strict.url(user="app:right")))
        self.assertEqual(one_line("x geheim\n y", "geheim"), "x *** y")


class AddressTests(SynchronousTestCase):
    """Several hosts are tried in turn."""

    def strings(self, url: str, random: Callable[[], float] = lambda: 0.0) -> list[str]:
        return self.successResultOf(Address.of(url).attempts(PumpedReactor(), random))

    def test_several_hosts(self) -> None:
        """One string each, with its port, and only the primary will do."""
        first, second = self.strings("postgresql://me@10.0.0.1:5433,[::1]:5434/app")
        for part in ("host=10.0.0.1", "port=5433", "target_session_attrs=read-write"):
            self.assertIn(part, first)
        for part in ("host=::1", "port=5434", "dbname=app"):
            self.assertIn(part, second)

    def test_what_the_url_says_holds(self) -> None:
        """Every key of libpq's reaches it; ours are defaults."""
        url = "postgresql://a,b/x?target_session_attrs=any&application_name=mine&sslmode=require"
        for string in self.strings(url):
            for part in ("target_session_attrs=any", "application_name=mine", "sslmode=require"):
                self.assertIn(part, string)

    def test_spread(self) -> None:
        """`load_balance_hosts=random` mixes them."""
        numbers = iter([0.9, 0.1])
        url = "postgresql://a,b/x?load_balance_hosts=random"
        self.assertIn("host=b", self.strings(url, lambda: next(numbers))[0])


class RealReactorTests(TestCase):
    """In the reactor of the process, names and all."""

    def test_by_name(self) -> None:
        """A name is looked up by the reactor, and each of its addresses is tried."""

        async def check() -> None:
            address = Address.of("postgresql://localhost:1/x")
            strings = await address.attempts(reactor, lambda: 0.0)
            self.assertTrue(strings)
            for string in strings:
                self.assertIn("hostaddr=", string)
                with self.assertRaises(Trouble):
                    await open_connection(reactor, string, connect_timeout=5, timeout=5)

        return ensureDeferred(check())

    def test_cut(self) -> None:
        """A connection that the engine ends leaves nothing with the reactor, whatever has its
        descriptor's number next."""

        async def check() -> None:
            [string] = await Address.of(engine().url()).attempts(reactor, lambda: 0.0)
            counts = set()
            for _ in range(4):
                connection = await open_connection(reactor, string, connect_timeout=5, timeout=5)
                lost: Deferred[Trouble] = Deferred()
                connection.lost = lost.callback
                await connection.script("SELECT 1")
                with engine().connect() as by_hand:
                    pid = connection.pgconn.backend_pid
                    by_hand.execute("SELECT pg_terminate_backend(%s)", [pid])
                await lost
                counts.add(len(reactor.getReaders()))
            self.assertEqual(len(counts), 1, counts)

        return ensureDeferred(check())

    def test_call(self) -> None:
        """The epoll reactor drives a connection."""
        self.assertIsInstance(reactor, epollreactor.EPollReactor)

        async def check() -> None:
            [string] = await Address.of(engine().url()).attempts(reactor, lambda: 0.0)
            connection = await open_connection(reactor, string, connect_timeout=5, timeout=5)
            result = await connection.call(Statement(b"one", b"SELECT 1::bigint"))
            self.assertEqual(read_int8(result.get_value(0, 0)), 1)
            connection.close()

        return ensureDeferred(check())
