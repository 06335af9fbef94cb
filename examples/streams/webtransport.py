"""WebTransport in one file: datagrams and streams, echoed, and a page to try it.

    python examples/streams/webtransport.py
    then open http://127.0.0.1:8080/ in Chromium

The certificate is made at start, is good for 13 days, and the page names it by
its hash; so neither an authority nor a browser flag is needed.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react
from twisted.python import log
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from takotwist.streams.http3 import Http3Config, Http3Server
from takotwist.streams.webtransport import (
    Routes,
    SessionClosed,
    WebTransportConfig,
    WebTransportSession,
    webtransport,
)
from takotwist.tls.certificate import short_lived_certificate

PAGE = Path(__file__).with_suffix(".html")


async def echo_datagrams(session: WebTransportSession) -> None:
    """Send each datagram back."""
    async for data in session.datagrams:
        session.datagrams.send(data)


async def say_the_time(session: WebTransportSession, reactor: Any) -> None:
    """Open a one-way stream every ten seconds."""
    while session.closed is None:
        stream = session.open_uni()
        await stream.send(datetime.now().strftime("it is %H:%M:%S").encode())
        stream.finish()
        await deferLater(reactor, 10)


def serve(reactor: Any, page: Resource, web_port: int, udp_port: int) -> tuple[Any, Http3Server]:
    """Start both servers; returns the listening port of `page`, and the HTTP/3 server."""

    async def echo(session: WebTransportSession) -> None:
        """The handler: one call for each session."""
        session.start(echo_datagrams(session))
        session.start(say_the_time(session, reactor))
        async for stream in session.incoming_bidi:
            try:
                # `send` waits for a client that reads slower than it writes.
                async for data in stream:
                    await stream.send(data)
                stream.finish()
            except SessionClosed:
                return

    listening = reactor.listenTCP(web_port, Site(page), interface="127.0.0.1")
    origin = f"http://127.0.0.1:{listening.getHost().port}"
    certificate = short_lived_certificate(["127.0.0.1", "localhost"], now=datetime.now(UTC))
    server = Http3Server(
        reactor,
        Site(page),
        certificate=certificate.certificate,
        key=certificate.key,
        config=Http3Config(drain_seconds=1.0),
        webtransport=Routes(
            [webtransport("/echo", echo, config=WebTransportConfig(allowed_origins=[origin]))]
        ),
    )
    udp = server.start(udp_port, "127.0.0.1")
    address = {"url": f"https://127.0.0.1:{udp}/echo", "sha256": certificate.sha256.hex()}
    page.putChild(b"", Data(PAGE.read_bytes(), "text/html; charset=utf-8"))
    page.putChild(b"webtransport.json", Data(json.dumps(address).encode(), "application/json"))
    print(f"page:         {origin}/")
    print(f"WebTransport: {address['url']}  sha-256 {address['sha256']}")
    return listening, server


def main(reactor: Any) -> Deferred[None]:
    """Serve until interrupted."""
    log.startLogging(sys.stderr)
    _, server = serve(reactor, Resource(), 8080, 4433)
    reactor.addSystemEventTrigger("before", "shutdown", server.stop)
    return Deferred()


if __name__ == "__main__":
    react(main)
