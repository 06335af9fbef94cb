"""A whole log under each reactor, and through TLS."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.postgres.address import Address
from takotwist.adapters.postgres.connection import open_connection
from takotwist.adapters.postgres.errors import Trouble
from tests.adapters.postgres.engine import FAST, Engine, engine
from tests.adapters.postgres.pumped import PumpedReactor
from tests.sockets.server_process import free_port
from tests.sockets.trusted_certificate import write_certificates

#: What a program is started with -> the class of its reactor.
REACTORS = {"epoll": "EPollReactor", "asyncio": "AsyncioSelectorReactor"}


def run(reactor: str, url: str, schema: str) -> str:
    """What the program says."""
    program = "tests.adapters.postgres.reactor_program"
    done = subprocess.run(
        [sys.executable, "-m", program, reactor, url, schema],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[3],
    )
    return (done.stdout + done.stderr).strip()


class ReactorTests(SynchronousTestCase):
    """Two nodes in a process of its own."""

    def test_each(self) -> None:
        """Both reactors drive all connections, with more than fits into a socket's buffer."""
        by_hand = engine().connect()
        self.addCleanup(by_hand.close)
        for name, kind in REACTORS.items():
            schema = f"{name}{os.getpid()}"
            self.assertEqual(run(name, engine().url(), schema), kind)
            by_hand.execute("SET client_min_messages = error")
            by_hand.execute(f"DROP SCHEMA {schema} CASCADE")


class TlsTests(SynchronousTestCase):
    """An engine that nobody reaches over TCP without TLS."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tako-pg-tls-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.authority, certificate = write_certificates(self.folder, "localhost")
        certificate.chmod(0o600)
        if os.getuid() == 0:
            # The engine's user reads it, and refuses a key that others could read.
            self.folder.chmod(0o755)
            shutil.chown(certificate, "postgres")
        self.port = free_port()
        self.engine = Engine(
            {
                **FAST,
                "listen_addresses": "'127.0.0.1'",
                "port": str(self.port),
                "ssl": "on",
                "ssl_cert_file": f"'{certificate}'",
                "ssl_key_file": f"'{certificate}'",
            }
        )
        self.addCleanup(self.engine.close)
        rules = self.engine.data / "pg_hba.conf"
        rules.write_text("local all all trust\nhostssl all all 127.0.0.1/32 trust\n")
        with self.engine.connect() as by_hand:
            by_hand.execute("SELECT pg_reload_conf()")

    def url(self, host: str, authority: Path, mode: str = "verify-full") -> str:
        where = f"postgresql://tako@{host}:{self.port}/postgres"
        return f"{where}?sslmode={mode}&sslrootcert={authority}"

    def trouble(self, url: str) -> str:
        """What is said of a connection that is refused; nothing of one that is there."""
        reactor = PumpedReactor()
        [string] = reactor.wait(Address.of(url).attempts(reactor, lambda: 0.0))
        try:
            reactor.wait(open_connection(reactor, string, connect_timeout=10, timeout=10)).close()
        except Trouble as trouble:
            return trouble.detail
        return ""

    def test_verified(self) -> None:
        """Under each reactor, with more than one record of TLS at once."""
        for name, kind in REACTORS.items():
            self.assertEqual(run(name, self.url("localhost", self.authority), name), kind)

    def test_refused(self) -> None:
        """Another name than the certificate's, another authority, and no TLS at all."""
        other = self.folder / "other"
        other.mkdir()
        stranger, _ = write_certificates(other, "localhost")
        self.assertEqual(self.trouble(self.url("127.0.0.1", self.authority, "verify-ca")), "")
        self.assertIn("127.0.0.1", self.trouble(self.url("127.0.0.1", self.authority)))
        self.assertIn("certificate", self.trouble(self.url("127.0.0.1", stranger, "verify-ca")))
        self.assertIn("pg_hba", self.trouble(self.url("127.0.0.1", self.authority, "disable")))
