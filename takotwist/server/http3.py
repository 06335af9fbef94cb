"""HTTP/3 listeners: the public site over QUIC, and channels over WebTransport.

Imported only where ``[http3] listen`` names a port, because aioquic is an extra.
Rule: what is served here is the site of the TLS listener, under its certificate
and its limits; nothing is served that TLS does not serve too.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.web.server import Site

from takotwist.core.limits import network_of
from takotwist.errors import ConfigError
from takotwist.interfaces import IReactor
from takotwist.server.compose_live import BATCH_FACTOR
from takotwist.server.config import Config
from takotwist.server.config.endpoint_text import UdpAddress
from takotwist.server.listen import shown
from takotwist.server.parts import Parts
from takotwist.server.reset_key import reset_key
from takotwist.streams.http3 import Http3Config, Http3Server, alt_svc
from takotwist.streams.http3.endpoint import MAX_PACKET, Http3Endpoint
from takotwist.streams.http3.roster import Roster
from takotwist.streams.webtransport import Routes
from takotwist.tls.context import ServerTls
from takotwist.transports.webtransport import WebTransportTransport

if TYPE_CHECKING:
    from takotwist.server.supervisor.quic import WorkerQuic

#: Seconds for the last closes to arrive, after the drain.
GRACE = 1.0


@attrs.define(slots=True)
class Opened:
    """One open port and its server."""

    server: Http3Server
    port: Any


class Http3Listeners:
    """All HTTP/3 listeners of one server.

    :param site: of the public listeners.
    :param tls: whose certificate is shown.
    :param worker: one of several, which has the ports from the supervisor.
    """

    def __init__(
        self,
        reactor: IReactor,
        config: Config,
        parts: Parts,
        site: Site,
        tls: ServerTls,
        worker: WorkerQuic | None = None,
    ) -> None:
        self._worker = worker
        self._handed_over = False
        self._reactor, self._site, self._tls = reactor, site, tls
        self._addresses = [UdpAddress.parse(text) for text in config.http3.listen]
        limits = config.limits
        self._config = Http3Config(
            max_header_bytes=limits.max_header_bytes, max_body_bytes=limits.max_body_bytes
        )
        # Not `parts.admissions`: the other one there lets everybody in.
        admission = parts.public.sse.admission
        live = BATCH_FACTOR * config.live.max_message_bytes
        self._unfinished = parts.unfinished
        self._channels = WebTransportTransport(
            admission, reactor, parts.unfinished, live, parts.public.check_access
        )
        self._state_dir = config.state_dir
        self._reset_key = reset_key(config.state_dir)
        self._settings = parts.reloadable
        self._opened: list[Opened] = []
        self._alt_svc = b""

    def open(self) -> None:
        """Take the ports; nothing is read from them before `serve`.

        :raises ConfigError: one cannot be had; then none is.
        """
        for number, address in enumerate(self._addresses):
            server = self._server(number)
            try:
                port = self._listen(number, address, server.protocol)
            except CannotListenError as bad:
                for one in self._opened:
                    one.port.stopListening()
                raise ConfigError(
                    f"cannot listen: {getattr(bad.socketError, 'strerror', bad.socketError)}",
                    key="http3.listen",
                    source=str(address),
                ) from None
            port.stopReading()
            self._opened.append(Opened(server, port))
        self._alt_svc = alt_svc(int(self._opened[0].port.getHost().port))
        self._tls.when_changed(self._use_certificate)

    def _listen(self, number: int, address: UdpAddress, protocol: Http3Endpoint) -> Any:
        if self._worker is None:
            return self._reactor.listenUDP(address.port, protocol, address.interface, MAX_PACKET)
        opened = self._worker.sockets[number]
        self._worker.relay.serve(
            number, lambda datagram, addr: protocol.datagramReceived(datagram, addr, True)
        )
        return self._reactor.adoptDatagramPort(opened.fileno(), opened.family, protocol, MAX_PACKET)

    def hand_over(self) -> None:
        """A successor reads the ports from now on, and passes on what is for this process."""
        self._handed_over = True
        for one in self._opened:
            one.port.stopReading()

    def serve(self) -> list[str]:
        """Begin to answer; where, in words."""
        if self._worker is not None:
            self._worker.relay.start()
        for one in self._opened:
            one.port.startReading()
            one.server.farewell()
        return [f"{shown(one.port.getHost(), secure=True)} (HTTP/3)" for one in self._opened]

    def alt_svc(self) -> bytes:
        """The announcement of the first port, for answers over TLS, once it is open."""
        return self._alt_svc

    def stop(self) -> Deferred[Any]:
        """Say GOAWAY, wait for what is under way, close, leave the ports."""
        return DeferredList(
            [Deferred.fromCoroutine(self._stop(one)) for one in self._opened], consumeErrors=True
        )

    async def _stop(self, opened: Opened) -> None:
        if not self._handed_over:
            opened.port.startReading()  # acknowledgements are to be read, ready or not
        await opened.server.stop(self._settings.limits.drain_seconds + GRACE)
        await maybeDeferred(opened.port.stopListening)

    def _server(self, number: int) -> Http3Server:
        pair = self._tls.pair
        worker = self._worker
        of_process = "" if worker is None else f"-{worker.process}"
        path = self._state_dir / f"quic-clients-{number}{of_process}"
        try:
            roster = Roster(path, self._settings.limits.max_connections, time.time)
        except OSError as failure:
            raise ConfigError(
                f"cannot be kept: {failure.strerror}", key="state_dir", source=str(path)
            ) from None
        return Http3Server(
            self._reactor,
            self._site,
            certificate=pair.chain_pem,
            key=pair.key_pem,
            webtransport=Routes([self._channels.route()]),
            config=self._config,
            unfinished=self._unfinished,
            reset_key=self._reset_key,
            roster=roster,
            network=network_of,
            bounds=lambda: self._settings.limits,
            siblings=None if worker is None else worker.siblings(number, self._reset_key),
        )

    def _use_certificate(self) -> None:
        pair = self._tls.pair
        for one in self._opened:
            one.server.use_certificate(pair.chain_pem, pair.key_pem)
