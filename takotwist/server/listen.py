"""Opening of listeners, with advice where one cannot be opened.

Every listener is an endpoint string; TLS is a wrapping of its factory, so a
socket that systemd passes can carry it too.
Rule: all listeners are open or none is, and every one that could not be opened
is named.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import cast

import attrs
from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorCore,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.protocols.haproxy import proxyEndpoint

from takotwist.errors import ConfigError
from takotwist.server.config import ConfigProblems
from takotwist.server.config.endpoint_text import EndpointText
from takotwist.server.sockets import PassedSocket, binding
from takotwist.tls.context import ServerTls, over_tls

#: Connections that the kernel holds until they are accepted.  Twisted's 50 is little when ten
#: thousand clients come back at once; Linux takes the lesser of this and somaxconn.
BACKLOG = 1024


@attrs.frozen(slots=True, kw_only=True)
class Listen:
    """One listener that is wanted.

    :ivar endpoint: a Twisted endpoint string.
    :ivar factory: what serves its connections.
    :ivar tls: or `None` for plain.
    :ivar key: the key of the configuration that names it, for errors.
    :ivar handed: in a worker, what takes its connections in place of a socket of its own.
    """

    endpoint: str
    factory: IProtocolFactory
    tls: ServerTls | None = None
    key: str = "http.listen"
    handed: IStreamServerEndpoint | None = None


@attrs.frozen(slots=True)
class Listening:
    """One listener that is open."""

    listen: Listen
    port: tcp.Port

    @property
    def path(self) -> str | None:
        """Of the socket file that this process has made; `None` where it has made none."""
        if self.listen.handed is not None:
            return None
        return EndpointText.parse(self.listen.endpoint).path

    @property
    def address(self) -> str:
        """Its address as a person would open it: ``https://localhost:8443``."""
        return shown(self.port.getHost(), secure=self.listen.tls is not None)


def shown(address: object, *, secure: bool) -> str:
    """An address for people; ``localhost`` where it is every address."""
    if isinstance(address, UNIXAddress):
        return f"unix:{(address.name or b'').decode('utf-8', 'replace')}"
    if not isinstance(address, (IPv4Address, IPv6Address)):
        return str(address)
    scheme, usual = ("https", 443) if secure else ("http", 80)
    host = f"[{address.host}]" if ":" in address.host else address.host
    if address.host in ("0.0.0.0", "::", ""):
        host = "localhost"
    return f"{scheme}://{host}" + ("" if address.port == usual else f":{address.port}")


async def open_listener(reactor: IReactorCore, listen: Listen) -> Listening:
    """Open one listener.

    :raises ConfigError: it cannot be opened.
    """
    text = EndpointText.parse(listen.endpoint)
    factory = listen.factory
    if listen.tls is not None:
        factory = over_tls(factory, listen.tls, cast(IReactorTime, reactor))
    try:
        if listen.handed is not None:
            opening = _unproxied(listen.handed, text).listen(factory)
        else:
            opening = _open(reactor, text, factory)
        return Listening(listen, cast(tcp.Port, await opening))
    except ConfigError as bad:
        reason, source = bad.reason, bad.source or listen.endpoint
    except CannotListenError as bad:
        error = bad.socketError
        reason = _advice(error, text) if isinstance(error, OSError) else f"cannot listen: {bad}"
        source = listen.endpoint
    except (OSError, ValueError, TypeError) as bad:
        reason, source = f"cannot listen: {bad}", listen.endpoint
    raise ConfigError(reason, key=listen.key, source=source)


def _open(
    reactor: IReactorCore, text: EndpointText, factory: IProtocolFactory
) -> Deferred[IListeningPort]:
    if text.kind == "systemd":
        return _unproxied(PassedSocket(reactor, text, BACKLOG), text).listen(factory)
    if text.interface is not None or text.path is not None:
        text = text.with_option("backlog", str(BACKLOG))
    opened: Deferred[IListeningPort]
    if text.path is None:
        opened = serverFromString(reactor, str(text)).listen(factory)
        return opened
    # Twisted's own lock file takes a process id for proof of life; in a container every server
    # has the same one, and after a crash would find itself alive.
    text = text.with_option("lockfile", "0")
    with binding(text):
        opened = serverFromString(reactor, str(text)).listen(factory)
    return opened


def _unproxied(endpoint: IStreamServerEndpoint, text: EndpointText) -> IStreamServerEndpoint:
    """`endpoint`, with the PROXY protocol taken off where the text says so."""
    return proxyEndpoint(endpoint) if text.proxied else endpoint


def _advice(error: OSError, endpoint: EndpointText) -> str:
    """Advice for an error of the socket."""
    port = endpoint.port
    if error.errno == errno.EADDRINUSE and port is not None:
        return (
            f"port {port} is in use: stop what uses it (ss -ltnp 'sport = :{port}' shows it),"
            " or choose another"
        )
    if error.errno == errno.EACCES and port is not None and port < 1024:
        return (
            f"port {port} needs a right: AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd"
            " unit, or a socket that systemd passes (systemd:domain=INET:index=0)"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine has no address {endpoint.interface}"
    return f"cannot listen: {error.strerror}"


async def open_listeners(reactor: IReactorCore, wanted: Iterable[Listen]) -> list[Listening]:
    """Open all of them, in their order.

    :raises ConfigProblems: some could not be opened, each with its reason; the others are closed.
    """
    opened: list[Listening] = []
    problems: list[ConfigError] = []
    try:
        for listen in wanted:
            try:
                opened.append(await open_listener(reactor, listen))
            except ConfigError as bad:
                problems.append(bad)
        if problems:
            raise ConfigProblems(problems)
    except BaseException:
        for one in opened:
            # Not waited for: before the reactor runs a port does not come to its end, and
            # whoever starts a server would wait for ever for its reason not to.
            maybeDeferred(one.port.stopListening)
        raise
    return opened


async def close_listeners(opened: Iterable[Listening]) -> None:
    """Stop listening; connections stay."""
    # Each, also where one of them cannot.
    closing = [maybeDeferred(one.port.stopListening) for one in opened]
    for closed, result in await DeferredList(closing, consumeErrors=True):
        if not closed:
            result.raiseException()
