"""All listeners of the server: plain, TLS, private, and HTTP/3 where it is configured.

Opened before the process gives up its rights, read only once the server is ready.
Rule: until then clients wait in the kernel's queue, and are not refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

import attrs
from twisted.internet.defer import Deferred, maybeDeferred

from takotwist.errors import TakoError
from takotwist.interfaces import IReactor
from takotwist.server.accepting import Accepting
from takotwist.server.config import Config
from takotwist.server.listen import Listen, Listening
from takotwist.server.open_sockets import OpenSockets
from takotwist.server.parts import Parts
from takotwist.server.sites import Interceptor, announce, site
from takotwist.server.tls import Certificate
from takotwist.server.tls_redirect import USUAL_PORT, TlsRedirect, strict_transport
from takotwist.streams.http.site import HttpSite

if TYPE_CHECKING:
    from takotwist.server.http3 import Http3Listeners
    from takotwist.server.worker_context import WorkerContext


@attrs.define(slots=True, eq=False)
class Listeners:
    """The listeners of one server.  Made with `of`."""

    _reactor: IReactor
    _wanted: Sequence[Listen]
    _secure: HttpSite
    _http3: Http3Listeners | None
    #: Still to be told the port of TLS, once it is open.
    _redirect: TlsRedirect | None = None
    _sockets: OpenSockets = attrs.field(init=False)
    _accepting: Accepting | None = attrs.field(default=None, init=False)

    @_sockets.default
    def _closed_sockets(self) -> OpenSockets:
        return OpenSockets(self._reactor, self._wanted, self._opened)

    @classmethod
    def of(
        cls,
        config: Config,
        parts: Parts,
        reactor: IReactor,
        certificate: Certificate | None,
        worker: WorkerContext | None = None,
    ) -> Listeners:
        """Listeners of a configuration, none of them open.

        :param certificate: of the TLS listeners and HTTP/3; `None` where there are none.
        :param worker: whose connections are handed to it.
        """
        settings, unfinished = parts.reloadable, parts.unfinished
        tls = None if certificate is None else certificate.tls
        always: list[Interceptor] = []
        if certificate is not None and certificate.acme is not None:
            always.append(certificate.acme.answers.answer)
        if config.tls.strict_transport_security and not config.tls.is_development:
            always.append(strict_transport(config.tls.strict_transport_security))
        redirect = None
        if config.http.redirect_to_tls:
            redirect = TlsRedirect(
                settings,
                parts.answers,
                lambda: tls.pair.names if tls else (),
                config.tls.public_port or USUAL_PORT,
            )
        redirects: list[Interceptor] = [] if redirect is None else [redirect.answer]
        # A publish on the fast path would not be asked for its scheme.
        public = site(
            parts.public, settings, reactor, unfinished, always + redirects, fast=not redirects
        )
        http3 = None
        if tls is not None and config.http3.listen:
            # Here, because what it imports is an extra, and takes a tenth of a second.
            from takotwist.server.http3 import Http3Listeners

            quic = worker.quic if worker is not None else None
            http3 = Http3Listeners(reactor, config, parts, public, tls, quic)
        # Another one, because only its answers announce HTTP/3.
        announcing = [] if http3 is None else [announce(http3.alt_svc)]
        secure = site(parts.public, settings, reactor, unfinished, announcing + always)
        wanted = [Listen(endpoint=one, factory=public) for one in config.http.listen]
        wanted += [
            Listen(endpoint=one, factory=secure, tls=tls, key="tls.listen")
            for one in config.tls.listen
        ]
        # One each: a head that was good on a Unix socket is not known on a port.
        wanted += [
            Listen(
                endpoint=one,
                factory=site(parts.private, settings, reactor, unfinished),
                key="private.listen",
            )
            for one in config.private.listen
        ]
        if worker is not None:
            wanted = [
                attrs.evolve(one, handed=handed)
                for one, handed in zip(wanted, worker.listeners, strict=True)
            ]
        unsaid = None if config.tls.public_port else redirect
        return cls(reactor, wanted, secure, http3, unsaid)

    @property
    def opened(self) -> Sequence[Listening]:
        """Those over TCP and Unix sockets, once they are open."""
        return self._sockets.opened

    @property
    def _sites(self) -> Iterator[HttpSite]:
        return (cast(HttpSite, one.listen.factory) for one in self.opened)

    def open(self, open_files: int) -> None:
        """Open all of them, and read from none.

        :param open_files: that this process may have.
        :raises TakoError: one cannot be opened; then none is.
        """
        self._accepting = Accepting(self._reactor, open_files)
        self._sockets.open()
        if self._http3 is not None:
            self._open_http3(self._http3)

    def _opened(self, at: int, one: Listening) -> None:
        assert self._accepting is not None
        self._accepting.guard(one.port, last=one.listen.key == "private.listen")
        self._tell_port(one)

    def _tell_port(self, one: Listening) -> None:
        port = getattr(one.port.getHost(), "port", None)
        if self._redirect is not None and one.listen.tls is not None and port is not None:
            self._redirect.opened(port)
            self._redirect = None

    def _open_http3(self, http3: Http3Listeners) -> None:
        try:
            http3.open()
        except TakoError:
            self._sockets.abandon()
            raise

    def read(self) -> list[str]:
        """Accept the clients that wait, and all that come.

        :return: the addresses, as a person would open them.
        """
        self._sockets.read()
        http3 = [] if self._http3 is None else self._http3.serve()
        return [one.address for one in self.opened] + http3

    async def look_after_sockets(self) -> None:
        """Listen again at each Unix path whose socket was removed, once its folder is there."""
        await self._sockets.look_after()

    async def close(self) -> Deferred[object]:
        """Accept no more; connections stay.

        :return: fires when HTTP/3 is done, which waits for its connections to end.
        """
        try:
            if self._accepting is not None:
                self._accepting.stop()
            await self._sockets.close()
        finally:
            # They have their connections, whatever became of the port.
            for one in self._sites:
                one.keep_no_longer()
            http3 = self._http3
            leaving: Deferred[object] = maybeDeferred(lambda: http3 and http3.stop())
        return leaving

    def hand_over(self) -> None:
        """A successor is there, which reads the UDP ports from now on."""
        if self._http3 is not None:
            self._http3.hand_over()

    def is_answering(self) -> bool:
        """Tell whether a request is under way over TCP or a Unix socket, or about to come."""
        return any(one.is_answering() for one in self._sites)

    def leave(self) -> None:
        """Say to HTTP/2 connections that there is nothing more for them (GOAWAY)."""
        self._secure.leave()
