"""Certificates obtained from a real ACME server, and renewed while clients are connected."""

from __future__ import annotations

import json
import socket
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.faults import stepped_clock
from tests.faults.watching import publish
from tests.sockets.pebble import Pebble, programs
from tests.sockets.server_process import FAST, ServerProcess, free_port, wait_until

NAME = "chat.example.com"

#: Seconds that a certificate of these tests lives, and after which it is renewed whatever Pebble's
#: own advice is.  It is less than the hour by which clocks may differ.
LIFE, LATE = 3000, 2900


class AcmeTests(SynchronousTestCase):
    """A server and Pebble."""

    def setUp(self) -> None:
        if programs() is None:
            raise SkipTest("Pebble is not installed; `sh tests/run` does it")
        self.servers: list[ServerProcess] = []

    def pebble(self, server: ServerProcess, *, http_port: int = 0) -> Pebble:
        """Pebble, which reaches this server."""
        pebble = Pebble(http_port or server.port, server.tls_port, LIFE)
        self.addCleanup(pebble.close)
        return pebble.start()

    def server(self) -> ServerProcess:
        """A server that is yet to be configured."""
        server = ServerProcess(listen=None)
        server.tls_port = free_port()
        self.addCleanup(server.close)
        self.servers.append(server)
        server.write("step", "0")
        return server

    def start(
        self,
        server: ServerProcess,
        pebble: Pebble,
        challenge: str,
        more: str = "",
        before_all: str = "",
    ) -> None:
        """Start it, with a certificate to be obtained."""
        port, server.tls_port = server.tls_port, 0
        server.write_config(
            f"""
{before_all}
[tls]
listen = ["tcp:{port}:interface=127.0.0.1"]
domains = ["{NAME}", "www.{NAME}"]
email = "admin@example.com"
acme_directory = "{pebble.directory}"
acme_ca_file = "{pebble.ca_file}"
acme_challenge = "{challenge}"
{more}{FAST}"""
        )
        server.start(before=[stepped_clock.__file__, str(server.folder / "step")])
        server.tls_port = port

    def shown(self, server: ServerProcess) -> x509.Certificate:
        """The certificate that a new connection gets."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", server.tls_port), 60) as plain,
            context.wrap_socket(plain, server_hostname=NAME) as secure,
        ):
            content = secure.getpeercert(True)
            assert content is not None
            return x509.load_der_x509_certificate(content)

    def obtained(self, server: ServerProcess, count: int = 1) -> x509.Certificate:
        """Wait until so many were obtained; the one that is shown."""
        try:
            wait_until(
                lambda: server.log.count("New connections get the certificate") >= count,
                f"{count} certificates",
                120,
            )
        except AssertionError as failed:
            raise AssertionError(f"{failed}:\n{server.log}") from None
        return self.shown(server)

    def trusting(self, pebble: Pebble) -> ssl.SSLContext:
        """What trusts Pebble and nobody else."""
        return ssl.create_default_context(cadata=pebble.root)

    def check_trusted(self, server: ServerProcess, pebble: Pebble) -> None:
        """Clients take the certificate for both names."""
        for name in (NAME, f"www.{NAME}"):
            with (
                socket.create_connection(("127.0.0.1", server.tls_port), 60) as plain,
                self.trusting(pebble).wrap_socket(plain, server_hostname=name),
            ):
                pass

    def check_private(self, folder: Path) -> None:
        """Nothing is readable by others, and no challenge is left."""
        for path in (folder, *folder.rglob("*")):
            mode = stat.S_IMODE(path.stat().st_mode)
            self.assertEqual(mode, 0o700 if path.is_dir() else 0o600, path)
        self.assertEqual(list((folder / "challenges").iterdir()), [])

    def finish(self) -> None:
        """Every server ends as it should, with nothing in its log that nobody thought of."""
        for server in self.servers:
            if server._process is not None:
                self.assertEqual(server.stop(), 0)
            key = server.folder / "state" / "acme" / "account.json"
            private = json.loads(key.read_text())["key"]["d"] if key.exists() else "-----BEGIN"
            server.assert_clean(private, "-----BEGIN")

    def test_first_by_connection(self) -> None:
        """With a domain name and nothing else there is a certificate in seconds (tls-alpn-01)."""
        server = self.server()
        pebble = self.pebble(server)
        self.start(server, pebble, "tls-alpn-01")
        leaf = self.obtained(server)
        self.check_trusted(server, pebble)
        self.assertNotEqual(leaf.issuer, leaf.subject)
        self.check_private(server.folder / "state" / "acme")
        # A start finds it there.
        server.write("step", "5")
        port, server.tls_port = server.tls_port, 0
        server.stop()
        server.start()
        server.tls_port = port
        self.assertEqual(self.shown(server).serial_number, leaf.serial_number)
        self.assertEqual(pebble.orders, 1)
        self.finish()

    def test_first_by_request(self) -> None:
        """The same by a request to the plain listener, all others of which go to TLS (http-01)."""
        server = self.server()
        pebble = self.pebble(server)
        self.start(server, pebble, "http-01", "[http]\nredirect_to_tls = true\n")
        self.obtained(server)
        self.check_trusted(server, pebble)
        self.check_private(server.folder / "state" / "acme")
        answer = httpx.get(
            f"{server.url}/channels/news/history", headers={"Host": NAME}, timeout=60
        )
        self.assertEqual(answer.status_code, 308)
        for token in ("x", "..%2faccount.json", "%2e%2e/account.json", ""):
            answer = httpx.get(f"{server.url}/.well-known/acme-challenge/{token}", timeout=60)
            self.assertEqual(answer.status_code, 404, token)
        self.finish()

    def test_renewed(self) -> None:
        """Before its life is over there is another, and nobody is disconnected."""
        server = self.server()
        pebble = self.pebble(server)
        self.start(server, pebble, "any")
        first = self.obtained(server)
        # Not a WebSocket of `websockets.sync`: its two threads read and write one TLS object, which
        # Python before 3.13.1 does not guard, and now and then a request is lost.
        with (
            socket.create_connection(("127.0.0.1", server.tls_port), 60) as plain,
            self.trusting(pebble).wrap_socket(plain, server_hostname=NAME) as reader,
        ):
            reader.sendall(
                b"GET /channels/chat?roomId=lobby HTTP/1.1\r\nHost: %s\r\n\r\n" % NAME.encode()
            )
            self.assertIn(b" 200 ", reader.recv(1024))
            # The authority has lost its memory meanwhile, and this server's account with it.
            pebble.stop()
            pebble.start()
            server.write("step", str(LATE))
            server.reload()
            second = self.obtained(server, 2)
            self.assertNotEqual(second.serial_number, first.serial_number)
            publish(server, "still here")
            heard = b""
            while b"still here" not in heard:
                part = reader.recv(1024)
                self.assertTrue(part, "the connection ended")
                heard += part
        self.check_trusted(server, pebble)
        # It is new, so another look finds nothing to do.
        server.reload()
        self.assertEqual(pebble.orders, 1)
        self.finish()

    def test_advice(self) -> None:
        """A certificate that the authority wants to have renewed is renewed (ARI)."""
        server = self.server()
        pebble = self.pebble(server)
        self.start(server, pebble, "any")
        first = self.obtained(server)
        now = datetime.now(UTC)
        pem = first.public_bytes(Encoding.PEM).decode()
        pebble.advise(pem, now - timedelta(hours=2), now - timedelta(hours=1))
        record = server.folder / "state" / "acme" / "record.json"
        server.reload()
        wait_until(lambda: json.loads(record.read_text())["record"]["renew_at"], "advice")
        server.write("step", "1000")
        server.reload()
        second = self.obtained(server, 2)
        self.assertNotEqual(second.serial_number, first.serial_number)
        self.finish()

    def test_failing(self) -> None:
        """Where the names lead elsewhere the log says so, and it is hours until the next order."""
        server = self.server()
        pebble = self.pebble(server, http_port=free_port())
        self.start(server, pebble, "http-01")
        wait_until(lambda: "no certificate could be obtained" in server.log, server.log, 60)
        self.assertRegex(server.log, rf"{NAME}: http-01: .*; the next try is in 1\.[0-2] hours")
        self.check_private(server.folder / "state" / "acme")
        # Neither a reload nor starts again and again bring another order.
        server.reload()
        wait_until(lambda: "sooner would meet the limits" in server.log, "an answer")
        port, server.tls_port = server.tls_port, 0
        for _ in range(3):
            server.stop()
            server.start(before=[stepped_clock.__file__, str(server.folder / "step")])
        server.tls_port = port
        self.assertEqual(pebble.orders, 1)
        # It serves all the same, with a certificate that nobody trusts.
        self.assertEqual(self.shown(server).issuer, self.shown(server).subject)
        self.assertEqual(httpx.get(f"{server.url}/_tako/health", timeout=60).status_code, 200)
        # Once a quarter of an hour the operator may have mended it.
        server.write("step", "901")
        server.reload()
        wait_until(lambda: pebble.orders == 2, "another order")
        wait_until(lambda: server.log.count("the next try is in") == 2, server.log, 60)
        self.finish()

    def test_away(self) -> None:
        """An authority that cannot be reached is one line."""
        server = self.server()
        pebble = self.pebble(server)
        pebble.stop()
        self.start(server, pebble, "any")
        wait_until(lambda: "the authority cannot be reached" in server.log, server.log, 60)
        self.finish()

    def test_wrong_clock(self) -> None:
        """A clock that is months ahead makes a certificate seem old; nothing is ordered by it."""
        server = self.server()
        pebble = self.pebble(server)
        self.start(server, pebble, "any")
        first = self.obtained(server)
        server.write("step", str(60 * 86_400))
        server.reload()
        wait_until(lambda: "the clock of this machine is 1440 hours ahead" in server.log, "a word")
        server.write("step", "0")
        server.reload()
        self.assertEqual(self.shown(server).serial_number, first.serial_number)
        self.assertEqual(pebble.orders, 1)
        # What was written by the wrong clock holds nothing up.
        server.write("step", str(LATE))
        server.reload()
        self.obtained(server, 2)
        self.finish()

    def test_two_processes(self) -> None:
        """Servers that share the folder obtain one certificate, whichever of them is reached."""
        reached, other = self.server(), self.server()
        pebble = self.pebble(reached)
        shared = f'acme_folder = "{reached.folder}/shared"\n'
        self.start(reached, pebble, "any", shared)
        self.obtained(reached)
        self.start(other, pebble, "any", shared)
        serials = {self.shown(server).serial_number for server in (reached, other)}
        self.assertEqual(len(serials), 1)
        self.assertEqual(pebble.orders, 1)
        # The one that asks is not the one that the authority's challenge comes to.
        for server in (other, reached):
            server.write("step", str(LATE))
            server.reload()
        self.obtained(other)
        self.obtained(reached, 2)
        self.assertEqual(other.log.count("for a certificate for"), 1)
        serials |= {self.shown(server).serial_number for server in (reached, other)}
        self.assertEqual(len(serials), 2)
        self.assertEqual(pebble.orders, 2)
        self.check_private(reached.folder / "shared")
        self.finish()

    def test_two_workers(self) -> None:
        """Workers of one server obtain one certificate, and each of them shows it."""
        server = self.server()
        pebble = self.pebble(server)
        self.start(server, pebble, "any", more="", before_all="[server]\nworkers = 2\n")

        # Connections go to one and the other in turn.
        def shown() -> list[x509.Certificate]:
            return [self.shown(server) for _ in range(8)]

        wait_until(lambda: all(one.issuer != one.subject for one in shown()), "both workers", 60)
        self.assertEqual(len({one.serial_number for one in shown()}), 1)
        self.check_trusted(server, pebble)
        self.assertEqual(pebble.orders, 1)
        self.check_private(server.folder / "state" / "acme")
        self.finish()
