"""Versions, ALPN, and a certificate that changes under a running server."""

from __future__ import annotations

import gc
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from weakref import ref

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from OpenSSL import SSL
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from takotwist.errors import ConfigError
from takotwist.tls.certificate import CertificatePair
from takotwist.tls.context import Profile, ServerTls, make_context
from takotwist.tls.development_ca import ensure_development_certificate
from tests.tls.acme.certificates import signed
from tests.transports.tls_client import TlsClient

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Echo(Protocol):
    """Says what it hears."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class Streamed(Echo):
    """The same, told of the client's pace."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.registerProducer(self, True)

    def pauseProducing(self) -> None:
        """The client is slow."""

    def resumeProducing(self) -> None:
        """It has caught up."""

    def stopProducing(self) -> None:
        """It is going."""


class TlsTests(SynchronousTestCase):
    """What a client gets."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.files = ensure_development_certificate(self.folder, [], NOW)
        self.echo = Factory.forProtocol(Echo)

    def _tls(self, profile: Profile = "intermediate") -> ServerTls:
        return ServerTls(self.files.certificate, self.files.key, profile)

    def _version(self, profile: Profile, newest: int) -> str:
        client = TlsClient(self.echo, self._tls(profile), newest=newest)
        client.handshake()
        self.assertEqual(client.exchange(b"hello"), b"hello")
        return client.connection.get_protocol_version_name()

    def test_intermediate(self) -> None:
        """TLS 1.3 and 1.2 are spoken, 1.1 is not."""
        self.assertEqual(self._version("intermediate", SSL.TLS1_3_VERSION), "TLSv1.3")
        self.assertEqual(self._version("intermediate", SSL.TLS1_2_VERSION), "TLSv1.2")
        self.assertRaises(SSL.Error, self._version, "intermediate", SSL.TLS1_1_VERSION)

    def test_modern(self) -> None:
        """Only TLS 1.3 is spoken."""
        self.assertEqual(self._version("modern", SSL.TLS1_3_VERSION), "TLSv1.3")
        self.assertRaises(SSL.Error, self._version, "modern", SSL.TLS1_2_VERSION)

    def test_ciphers_of_tls_1_2(self) -> None:
        """With TLS 1.2 the cipher has forward secrecy and authenticated encryption."""
        client = TlsClient(self.echo, self._tls(), newest=SSL.TLS1_2_VERSION)
        client.handshake()
        self.assertRegex(client.connection.get_cipher_name() or "", "^ECDHE-ECDSA-.*GCM")

    def test_challenge(self) -> None:
        """An ACME server sees the answer to its challenge, and everybody else the certificate.

        (Over TLS 1.2 as over 1.3, and the one is not left behind for the next connection.)
        """
        answer = signed(["chat.example.com"])
        asked: list[str] = []

        def challenged(name: str) -> CertificatePair | None:
            asked.append(name)
            return answer if name == "chat.example.com" else None

        tls = ServerTls(self.files.certificate, self.files.key, challenged=challenged)
        for newest in (SSL.TLS1_3_VERSION, SSL.TLS1_2_VERSION):
            for alpn, name, shown in (
                (b"acme-tls/1", b"Chat.Example.com", answer.leaf),
                (b"acme-tls/1", b"other.example.com", tls.pair.leaf),
                (b"acme-tls/1", None, tls.pair.leaf),
                (b"http/1.1", b"chat.example.com", tls.pair.leaf),
            ):
                client = TlsClient(self.echo, tls, [alpn], newest)
                if name is not None:
                    client.connection.set_tlsext_host_name(name)
                client.handshake()
                found = client.connection.get_peer_certificate(as_cryptography=True)
                self.assertEqual(found, shown)
                is_answer = shown is answer.leaf
                self.assertEqual(
                    client.connection.get_alpn_proto_negotiated(), alpn if is_answer else b""
                )
        self.assertEqual(asked, ["chat.example.com", "other.example.com", ""] * 2)

    def test_buffers_are_renewed(self) -> None:
        """Once the handshake is over its buffers are given back, and nothing is lost by it."""
        for newest in (SSL.TLS1_3_VERSION, SSL.TLS1_2_VERSION):
            client = TlsClient(self.echo, self._tls(), newest=newest)
            connection = client.protocol._tlsConnection
            before = connection._into_ssl, connection._from_ssl
            client.handshake()
            self.assertEqual(client.exchange(b"hello"), b"hello")
            after = connection._into_ssl, connection._from_ssl
            self.assertTrue(all(old != new for old, new in zip(before, after, strict=True)))
            for size in (1, 100_000, 3):
                self.assertEqual(client.exchange(b"x" * size), b"x" * size)
            self.assertEqual((connection._into_ssl, connection._from_ssl), after)

    def test_gone(self) -> None:
        """When a client goes, politely or not, all that TLS held for it goes at once.

        It is not left until Python looks for cycles: OpenSSL's part is 20 kB, which
        Python does not count.
        """

        def weak(polite: bool) -> list[ref[object]]:
            client = TlsClient(Factory.forProtocol(Streamed), self._tls())
            client.handshake()
            self.assertEqual(client.exchange(b"hello"), b"hello")
            if polite:
                client.connection.shutdown()
                client.pump()
            protocol = client.protocol
            parts = [ref(one) for one in (protocol, protocol._tlsConnection)]
            protocol.connectionLost(Failure(ConnectionDone()))
            # As a transport of Twisted's does.
            client.transport.producer = None
            return parts

        gc.disable()
        self.addCleanup(gc.enable)
        for polite in (True, False):
            self.assertEqual([part() for part in weak(polite)], [None, None])

    def test_hello_in_pieces(self) -> None:
        """A client whose bytes come one by one is served like any other."""
        client = TlsClient(self.echo, self._tls(), piece=1)
        client.handshake()
        for word in (b"hello", b"again"):
            self.assertEqual(client.exchange(word), word)

    def test_site_negotiates_http2_and_http1(self) -> None:
        """A web site gets h2 from who offers it, http/1.1 from who offers only that."""
        site = Site(Resource(), reactor=MemoryReactorClock())
        for offered, chosen in (
            ([b"h2", b"http/1.1"], b"h2"),
            ([b"http/1.1", b"h2"], b"h2"),
            ([b"http/1.1"], b"http/1.1"),
            ([b"foo"], b""),
            ([], b""),
        ):
            client = TlsClient(site, self._tls(), alpn=offered)
            client.handshake()
            self.assertEqual(client.connection.get_alpn_proto_negotiated(), chosen, offered)

    def test_factory_without_protocols_negotiates_none(self) -> None:
        """What does not speak HTTP/2 is never said to."""
        client = TlsClient(self.echo, self._tls(), alpn=[b"h2", b"http/1.1"])
        client.handshake()
        self.assertEqual(client.connection.get_alpn_proto_negotiated(), b"")
        self.assertEqual(client.exchange(b"hello"), b"hello")

    def test_reload_while_a_connection_lives(self) -> None:
        """Who is connected stays connected; who comes next gets the new certificate."""
        tls = self._tls()
        old = TlsClient(self.echo, tls)
        old.handshake()
        ensure_development_certificate(self.folder, [], NOW + timedelta(days=70))
        told: list[bool] = []
        tls.when_changed(lambda: told.append(tls.pair.leaf != old.certificate))
        self.assertTrue(tls.reload())
        self.assertEqual(told, [True])
        new = TlsClient(self.echo, tls)
        new.handshake()
        self.assertNotEqual(new.certificate, old.certificate)
        self.assertEqual(new.certificate, tls.pair.leaf)
        self.assertEqual(old.exchange(b"still"), b"still")
        self.assertEqual(new.exchange(b"here"), b"here")

    def test_reload_of_the_same(self) -> None:
        """Files that say the same change nothing, and nobody is told."""
        tls = self._tls()
        tls.when_changed(lambda: self.fail("told"))
        self.assertFalse(tls.reload())

    def test_reload_of_a_pair_that_does_not_match(self) -> None:
        """A half-done renewal is refused, and the old certificate goes on."""
        tls = self._tls()
        before = tls.pair.leaf
        other = ec.generate_private_key(ec.SECP256R1())
        self.files.key.write_bytes(
            other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        self.assertRaises(ConfigError, tls.reload)
        client = TlsClient(self.echo, tls)
        client.handshake()
        self.assertEqual(client.certificate, before)

    def test_chain_is_sent(self) -> None:
        """The chain of the file goes to the client, leaf first."""
        both = self.folder / "both.pem"
        with both.open("wb") as out:
            for part in (self.files.certificate, self.files.authority):
                with part.open("rb") as source:
                    shutil.copyfileobj(source, out)
        tls = ServerTls(both, self.files.key)
        client = TlsClient(self.echo, tls)
        client.handshake()
        sent = client.connection.get_peer_cert_chain(as_cryptography=True)
        self.assertEqual(tuple(sent or ()), tls.pair.chain)

    def test_idle_connection_gives_its_buffers_back(self) -> None:
        """The mode that saves 23 KB a connection is on."""
        context = make_context(self._tls().pair, "intermediate")
        self.assertTrue(context.set_mode(0) & SSL.MODE_RELEASE_BUFFERS)

    def test_plain_http_on_the_tls_port(self) -> None:
        """Bytes that are no TLS end the connection, with nothing in the log."""
        client = TlsClient(self.echo, self._tls())
        client.protocol.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        self.assertTrue(client.transport.disconnecting)
