"""A real browser speaks WebTransport with us: T1 of the checklist, all of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from takotwist.streams.http3 import Http3Config, Http3Server
from takotwist.streams.webtransport import (
    Routes,
    StreamReset,
    WebTransportConfig,
    WebTransportSession,
    webtransport,
)
from takotwist.tls.certificate import short_lived_certificate
from tests.browser.chromium import Chromium, Report

PAGE = Path(__file__).with_name("webtransport_page.html")
TIMEOUT = 120


class Server:
    """What the page speaks with."""

    def __init__(self) -> None:
        self.closed: Deferred[tuple[int, str]] = Deferred()

    async def all(self, session: WebTransportSession) -> None:
        """The other half of the page, step by step."""
        session.datagrams.send(await session.datagrams.receive())
        bidi = await session.incoming_bidi.next()
        async for data in bidi:
            await bidi.send(data)
        bidi.finish()
        uni = await session.incoming_uni.next()
        await self.say(session, b"heard " + await uni.read_all(100))
        asked = session.open_bidi()
        await asked.send(b"question")
        asked.finish()
        await self.say(session, b"got " + await asked.read_all(100))
        stopped = await session.incoming_uni.next()
        await stopped.read()
        stopped.stop(55)
        reset = session.open_uni()
        await reset.send(b"half")
        reset.reset(66)
        given = await session.incoming_uni.next()
        try:
            while await given.read():
                pass
        except StreamReset as error:
            await self.say(session, b"code %d" % (error.code or 0))
        end = await session.wait_closed()
        self.closed.callback((end.code, end.reason))

    async def say(self, session: WebTransportSession, data: bytes) -> None:
        stream = session.open_uni()
        await stream.send(data)
        stream.finish()

    async def closes(self, session: WebTransportSession) -> None:
        """Closes at once."""
        session.close(42, "bye from the server é")

    async def never(self, session: WebTransportSession) -> None:
        raise AssertionError("a page from elsewhere was let in")


class BrowserTests(TestCase):
    """Chromium."""

    timeout = TIMEOUT + 10

    async def test_t1(self) -> None:
        """T1: datagrams, streams of all kinds, resets, stops and closes, both ways, with codes."""
        server, report = Server(), Report()
        page = Resource()
        web = reactor.listenTCP(0, Site(page), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(web.stopListening)
        origin = f"http://127.0.0.1:{web.getHost().port}"
        config = WebTransportConfig(allowed_origins=(origin,))
        certificate = short_lived_certificate(["127.0.0.1"], now=datetime.now(UTC))
        http3 = Http3Server(
            reactor,
            Site(page),
            certificate=certificate.certificate,
            key=certificate.key,
            config=Http3Config(drain_seconds=0.5),
            webtransport=Routes(
                [
                    webtransport("/all", server.all, config=config),
                    webtransport("/closes", server.closes, config=config),
                    webtransport("/elsewhere", server.never),
                ]
            ),
        )
        port = http3.start(0, "127.0.0.1")
        self.addCleanup(http3.stop)
        address = {"url": f"https://127.0.0.1:{port}", "sha256": certificate.sha256.hex()}
        page.putChild(b"", Data(PAGE.read_bytes(), "text/html; charset=utf-8"))
        page.putChild(b"config.json", Data(json.dumps(address).encode(), "application/json"))
        page.putChild(b"report", report)
        chromium = Chromium(reactor, f"{origin}/", Path(self.mktemp()))
        self.addCleanup(chromium.stop)
        seen = dict(await report.arrived.addTimeout(TIMEOUT, reactor))  # type: ignore[arg-type]
        self.assertEqual(
            seen,
            {
                "ready": True,
                "datagram": "ping",
                "client bidi": 300000,
                "server uni": "heard client uni",
                "server bidi": "question",
                "server heard": "got answer",
                "stopped with": "WebTransportError:stream:55",
                "reset with": "WebTransportError:stream:66",
                "server saw reset": "code 88",
                "closed by page": 7,
                "closed by server": [42, "bye from the server é"],
                "/unknown": "WebTransportError:session:",
                "/elsewhere": "WebTransportError:session:",
            },
        )
        self.assertEqual(await server.closed, (7, "bye from the page"))
