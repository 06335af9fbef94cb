"""HTTP/3 server on one UDP port of the reactor: a site, and WebTransport beside it.

Composes the parts of this folder.  WebTransport is handed in, so this folder knows only what a
connection asks of it.  Nothing happens before `start`.  `alt_svc` is the header by which a TLS
site tells browsers of its HTTP/3 endpoint (RFC 7838).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aioquic.h3.connection import ErrorCode
from aioquic.quic.configuration import QuicConfiguration
from aioquic.tls import load_pem_private_key, load_pem_x509_certificates
from twisted.internet import defer
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.web.server import Site

from takotwist.interfaces import IReactor
from takotwist.streams.http3.config import ConnectionBounds, Http3Config
from takotwist.streams.http3.endpoint import CONNECTION_ID_LENGTH, MAX_PACKET, Http3Endpoint
from takotwist.streams.http3.link import Header, Link, SessionMaker, Sessions
from takotwist.streams.http3.request import refuse, serve_request
from takotwist.streams.http3.roster import Roster
from takotwist.streams.http3.siblings import Siblings
from takotwist.streams.http3.stateless import ResetTokens
from takotwist.streams.unfinished import Unfinished

#: More than any DATAGRAM frame that one packet can carry (RFC 9221 section 3).
MAX_DATAGRAM = 65535


class Http3Server:
    """A site over HTTP/3.

    :param reactor: provides `IReactorUDP` and `IReactorTime`.
    :param site: serves plain requests; the very `Site` of the TLS listener.
    :param certificate: the chain, PEM.
    :param key: its private key, PEM.
    :param webtransport: makes the sessions of each new connection, as
        `takotwist.streams.webtransport.Routes` does; `None` to offer no WebTransport.
    :param unfinished: counts what is begun and not whole, where others share the bound.
    :param reset_key: kept from one start to the next, so that clients of a server that was
        killed learn it from the next one, and not by waiting; `None` where it is not kept.
    :param roster: who they were; call `farewell` when the server serves.
    :param network: what a client's address is counted under, such as the /64 of one of IPv6.
    :param bounds: gives those of connections where they may change; `config` has them otherwise.
    :param siblings: other processes on the same UDP port.
    """

    def __init__(
        self,
        reactor: IReactor,
        site: Site,
        *,
        certificate: bytes,
        key: bytes,
        webtransport: SessionMaker | None = None,
        config: Http3Config | None = None,
        unfinished: Unfinished | None = None,
        reset_key: bytes | None = None,
        roster: Roster | None = None,
        network: Callable[[str], str] = str,
        bounds: Callable[[], ConnectionBounds] | None = None,
        siblings: Siblings | None = None,
    ) -> None:
        self._reactor, self._site = reactor, site
        self._config = config or Http3Config()
        self._webtransport = webtransport
        self._configuration = self._quic_configuration(certificate, key)
        #: The datagram protocol, for a socket that comes from elsewhere
        #: (`IReactorSocket.adoptDatagramPort`); `start` uses it otherwise.
        self.protocol = Http3Endpoint(
            reactor,
            lambda: self._configuration,
            self,
            self._config,
            Unfinished(reactor) if unfinished is None else unfinished,
            ResetTokens(reset_key or os.urandom(32)),
            roster,
            network,
            bounds,
            siblings,
        )
        self._port: IListeningPort | None = None

    def start(self, port: int, interface: str = "") -> int:
        """Listen.

        :param port: UDP port; 0 for any that is free.
        :param interface: the address to bind, IPv4 or IPv6; all IPv4 ones by default.
        :return: the port.
        """
        listening: IListeningPort = self._reactor.listenUDP(
            port, self.protocol, interface, MAX_PACKET
        )
        self._port = listening
        host: Any = listening.getHost()
        return int(host.port)

    def farewell(self) -> None:
        """Tell clients of the process before that it is gone, where a roster has them."""
        self.protocol.farewell()

    def use_certificate(self, certificate: bytes, key: bytes) -> None:
        """Use another certificate for the connections to come; those there stay."""
        self._configuration = self._quic_configuration(certificate, key)

    @property
    def connections(self) -> int:
        """Number of connections."""
        return len(self.protocol.connections)

    def stop(self, seconds: float | None = None) -> Deferred[None]:
        """Take no more, let what is under way end, close, leave the port.

        :param seconds: it has to end; `drain_seconds` where absent.
        """
        return Deferred.fromCoroutine(
            self._stop(self._config.drain_seconds if seconds is None else seconds)
        )

    async def _stop(self, seconds: float) -> None:
        drained = self.protocol.drain()
        drained.addTimeout(seconds, self._reactor)
        with suppress(defer.TimeoutError):
            await drained
        for connection in self.protocol.connections:
            connection.close(ErrorCode.H3_NO_ERROR, "shutting down")
            connection.discard()
            self.protocol.terminated(connection)
        self.protocol.stop()
        if self._webtransport is not None:
            self._webtransport.stop()
        port, self._port = self._port, None
        if port is not None:
            await maybeDeferred(port.stopListening)

    def _quic_configuration(self, certificate: bytes, key: bytes) -> QuicConfiguration:
        config = self._config
        chain = load_pem_x509_certificates(certificate)
        return QuicConfiguration(
            is_client=False,
            alpn_protocols=["h3"],
            certificate=chain[0],
            certificate_chain=chain[1:],
            private_key=load_pem_private_key(key, None),
            connection_id_length=CONNECTION_ID_LENGTH,
            idle_timeout=config.idle_timeout,
            max_data=config.connection_window,
            max_stream_data=config.stream_window,
            max_datagram_frame_size=MAX_DATAGRAM if self._webtransport else None,
            congestion_control_algorithm="cubic",
        )

    # Application

    def request(self, link: Link, stream_id: int, headers: list[Header]) -> None:
        """A plain request: to the site."""
        serve_request(link, stream_id, headers, self._site, self._config)

    def refuse(self, link: Link, stream_id: int, status: int, sentence: str) -> None:
        """A request for nobody: refused as the site refuses."""
        refuse(link, stream_id, self._site, status, sentence)

    def sessions(self, link: Link) -> Sessions | None:
        """A new connection: its WebTransport sessions, where there are routes."""
        return None if self._webtransport is None else self._webtransport(link)


def alt_svc(port: int, *, max_age: int = 86400) -> bytes:
    """The value of an ``Alt-Svc`` header.

    :param port: the UDP port of the HTTP/3 endpoint, on the same host name.
    :param max_age: seconds for which a browser may remember it.
    """
    if not 0 < port < 65536:
        raise ValueError(f"port must be 1 to 65535, not {port}")
    if max_age < 0:
        raise ValueError("max_age must not be negative")
    return b'h3=":%d"; ma=%d' % (port, max_age)
