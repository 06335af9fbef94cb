"""A real browser loads a page over HTTP/3, and all that the page asks for."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.static import Data, File

from takotwist.streams.http3 import Http3Config, Http3Server
from takotwist.streams.sse.stream import EventStream
from takotwist.tls.certificate import short_lived_certificate
from tests.browser.chromium import Chromium, Report

PAGE = Path(__file__).with_name("http3_page.html")
TIMEOUT = 120
BIG = 3_000_000


class Length(Resource):
    """How long a body is, and over what it came."""

    def render_POST(self, request: Request) -> bytes:
        return b"%d %s" % (len(request.content.read()), request.clientproto)


class Events(Resource):
    """Three events, one a moment."""

    def render_GET(self, request: Request) -> int:
        events = EventStream(request)
        events.open()
        for number in range(3):
            reactor.callLater(number * 0.02, events.write, b"data: %d\n\n" % number)  # type: ignore[attr-defined]
        return NOT_DONE_YET


class Open(Resource):
    """A response that its client leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.left: Deferred[bytes] = Deferred()

    def render_GET(self, request: Request) -> int:
        request.write(b"begun")
        request.notifyFinish().addErrback(lambda failure: self.left.callback(b"left"))
        return NOT_DONE_YET


class Left(Resource):
    """Answers when the client has left `Open`."""

    def __init__(self, watched: Open) -> None:
        super().__init__()
        self.watched = watched

    def render_GET(self, request: Request) -> int:
        self.watched.left.addCallback(lambda data: (request.write(data), request.finish()))
        return NOT_DONE_YET


class BrowserTests(TestCase):
    """Chromium, told to use QUIC."""

    timeout = TIMEOUT + 10

    async def test_page(self) -> None:
        """The page, a long body each way, a range, a 404, events, and a client that leaves."""
        report, watched, root = Report(), Open(), Resource()
        big = Path(self.mktemp())
        big.write_bytes(b"z" * BIG)
        root.putChild(b"", Data(PAGE.read_bytes(), "text/html; charset=utf-8"))
        root.putChild(b"big", File(str(big)))
        root.putChild(b"length", Length())
        root.putChild(b"events", Events())
        root.putChild(b"open", watched)
        root.putChild(b"left", Left(watched))
        root.putChild(b"report", report)
        certificate = short_lived_certificate(["127.0.0.1"], now=datetime.now(UTC))
        server = Http3Server(
            reactor,
            Site(root),
            certificate=certificate.certificate,
            key=certificate.key,
            config=Http3Config(drain_seconds=0.5),
        )
        port = server.start(0, "127.0.0.1")
        self.addCleanup(server.stop)
        public = x509.load_pem_x509_certificate(certificate.certificate).public_key()
        spki = sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
        chromium = Chromium(
            reactor,
            f"https://127.0.0.1:{port}/",
            Path(self.mktemp()),
            f"--origin-to-force-quic-on=127.0.0.1:{port}",
            f"--ignore-certificate-errors-spki-list={b64encode(spki.digest()).decode()}",
        )
        self.addCleanup(chromium.stop)
        seen = await report.arrived.addTimeout(TIMEOUT, reactor)  # type: ignore[arg-type]
        self.assertEqual(
            seen,
            {
                "page": "h3",
                "posted": "300000 HTTP/3",
                "big": BIG,
                "part": [206, 10],
                "missing": 404,
                "events": ["0", "1", "2"],
                "left": "left",
            },
        )
