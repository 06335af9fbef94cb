"""All listeners of the server: plain, TLS, private, and HTTP/3 where it is configured.

Opened before the process gives up its rights, read only once the server is ready.
Rule: until then clients wait in the kernel's queue, and are not refused.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.logger import Logger

from takotwist.errors import TakoError
from takotwist.server.accepting import Accepting
from takotwist.server.config import Config
from takotwist.server.config.endpoint_text import EndpointText
from takotwist.server.listen import Listen, Listening, open_listener, open_listeners
from takotwist.server.parts import Parts
from takotwist.server.sites import First, announce, site
from takotwist.server.sockets import Place, hold_place, place_of
from takotwist.server.tls_redirect import USUAL_PORT, TlsRedirect, strict_transport
from takotwist.streams.http.site import HttpSite
from takotwist.tls.context import ServerTls

if TYPE_CHECKING:
    from takotwist.server.http3 import Http3Listeners


@attrs.define(slots=True, eq=False)
class Listeners:
    """The listeners of one server.  Made with `of`.

    :ivar opened: those over TCP and Unix sockets, once they are.
    """

    _reactor: Any
    _wanted: Sequence[Listen]
    _secure: HttpSite
    _http3: Http3Listeners | None
    #: Still to be told the port of TLS, once it is open.
    _redirect: TlsRedirect | None = None
    opened: Sequence[Listening] = attrs.field(default=(), init=False)
    _accepting: Accepting | None = attrs.field(default=None, init=False)
    #: Which socket file is ours, by its path.
    _places: dict[str, Place | None] = attrs.field(factory=dict, init=False)
    _said: str = attrs.field(default="", init=False)
    _closed: bool = attrs.field(default=False, init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    @classmethod
    def of(cls, config: Config, parts: Parts, reactor: Any, tls: ServerTls | None) -> Listeners:
        """Listeners of a configuration, none of them open.

        :param tls: of the TLS listeners and HTTP/3; `None` where there are none.
        """
        settings, unfinished = parts.reloadable, parts.unfinished
        always: list[First] = []
        if config.tls.strict_transport_security and config.tls.certificate is not None:
            always.append(strict_transport(config.tls.strict_transport_security))
        redirect = None
        if config.http.redirect_to_tls:
            redirect = TlsRedirect(
                settings,
                parts.answers,
                lambda: tls.pair.names if tls else (),
                config.tls.public_port or USUAL_PORT,
            )
        redirects: list[First] = [] if redirect is None else [redirect.answer]
        # A publish on the fast path would not be asked for its scheme.
        public = site(
            parts.public, settings, reactor, unfinished, always + redirects, fast=not redirects
        )
        http3 = None
        if tls is not None and config.http3.listen:
            # Here, because what it imports is an extra, and takes a tenth of a second.
            from takotwist.server.http3 import Http3Listeners

            http3 = Http3Listeners(reactor, config, parts, public, tls)
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
        unsaid = None if config.tls.public_port else redirect
        return cls(reactor, wanted, secure, http3, unsaid)

    def open(self, open_files: int) -> None:
        """Open all of them, and read from none.

        :param open_files: that this process may have.
        :raises TakoError: one cannot be opened; then none is.
        """
        self._accepting = Accepting(self._reactor, open_files)
        opening = ensureDeferred(open_listeners(self._reactor, self._wanted))
        failures: list[Any] = []

        def opened(listening: Sequence[Listening]) -> None:
            self.opened = listening
            for one in listening:
                one.port.stopReading()  # type: ignore[attr-defined]
                self._guard(one)
                self._tell_port(one)

        opening.addCallbacks(opened, failures.append)
        if failures:
            failures[0].raiseException()
        if self._http3 is not None:
            self._open_http3(self._http3)

    def _tell_port(self, one: Listening) -> None:
        port = getattr(one.port.getHost(), "port", None)
        if self._redirect is not None and one.listen.tls is not None and port is not None:
            self._redirect.opened(port)
            self._redirect = None

    def _open_http3(self, http3: Http3Listeners) -> None:
        try:
            http3.open()
        except TakoError:
            for one in self.opened:
                maybeDeferred(one.port.stopListening)
            raise

    def read(self) -> list[str]:
        """Accept the clients that wait, and all that come.

        :return: the addresses, as a person would open them.
        """
        for one in self.opened:
            one.port.startReading()  # type: ignore[attr-defined]
        http3 = [] if self._http3 is None else self._http3.serve()
        return [one.address for one in self.opened] + http3

    async def look_after_sockets(self) -> None:
        """Listen again at each Unix path whose socket was removed, once its folder is there."""
        for at, one in enumerate(self.opened):
            path = EndpointText.parse(one.listen.endpoint).path
            if path is None or self._is_ours(one) or self._closed:
                continue
            if place_of(path) is not None or not os.path.isdir(os.path.dirname(path) or "."):
                # Somebody else's, who may be serving it; or not the time yet.
                continue
            try:
                if one.port.connected:  # type: ignore[attr-defined]
                    hold_place(path)
                    await maybeDeferred(one.port.stopListening)
                again = await open_listener(self._reactor, one.listen)
            except (TakoError, OSError) as bad:
                if str(bad) != self._said:
                    self._said = str(bad)
                    self._log.warn("{path} was removed: {bad}", path=path, bad=str(bad))
                continue
            if self._closed:
                await maybeDeferred(again.port.stopListening)
                return
            self.opened = [*self.opened[:at], again, *self.opened[at + 1 :]]
            self._guard(again)
            self._said = ""
            self._log.warn("{path} was removed; it is served again", path=path)

    def _is_ours(self, one: Listening) -> bool:
        """`True` if a listener has no Unix path, or its own socket is there."""
        path = EndpointText.parse(one.listen.endpoint).path
        return path is None or place_of(path) == self._places.get(path)

    def _guard(self, one: Listening) -> None:
        assert self._accepting is not None
        self._accepting.guard(one.port, last=one.listen.key == "private.listen")
        path = EndpointText.parse(one.listen.endpoint).path
        if path is not None:
            self._places[path] = place_of(path)

    async def close(self) -> Deferred[Any]:
        """Accept no more; connections stay.

        :return: fires when HTTP/3 is done, which waits for its connections to end.
        """
        self._closed = True
        if self._accepting is not None:
            self._accepting.stop()
        for one in self.opened:
            # What waits in a socket of systemd's stays there for our successor.
            one.port.stopReading()  # type: ignore[attr-defined]
            if self._is_ours(one):
                # Else Twisted would remove what is another's, or fail where there is nothing.
                await maybeDeferred(one.port.stopListening)
        return maybeDeferred(lambda: None if self._http3 is None else self._http3.stop())

    def leave(self) -> None:
        """Say to HTTP/2 connections that there is nothing more for them (GOAWAY)."""
        self._secure.leave()
