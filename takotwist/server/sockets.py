"""Listening on a socket that systemd opened and passed (sd_listen_fds(3)).

Such a socket stays open over a restart, so clients wait instead of being
refused, and it may be a port that the service itself has no right to.
Rule: a passed Unix socket's file is systemd's: its mode is not changed and the
file is not removed.  Twisted's own adoption does both.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import attrs
from twisted.internet import unix
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, _SystemdParser
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorCore,
    IStreamServerEndpoint,
)
from twisted.python.systemd import ListenFDs
from zope.interface import implementer

from takotwist.errors import ConfigError
from takotwist.server.config.endpoint_text import EndpointText


def _passed_here() -> ListenFDs:
    """The sockets that were passed to this process, named or not.

    Twisted takes them out of the environment when it is imported, and forgets them where
    they have no names, which they need not have.  With what a process was started the
    kernel still knows.
    """
    known = _SystemdParser._sddaemon
    if known.inheritedDescriptors():
        return known
    try:
        started_with = Path("/proc/self/environ").read_bytes()
    except OSError:
        return known
    variables = (one.partition(b"=") for one in started_with.split(b"\0"))
    environ = {os.fsdecode(name): os.fsdecode(value) for name, _, value in variables}
    count = environ.get("LISTEN_FDS", "")
    if count.isdecimal() and len(count) < 5:
        # As sd_listen_fds_with_names(3) calls those without a name.
        environ["LISTEN_FDNAMES"] = ":".join(["unknown"] * int(count))
    return ListenFDs.fromEnvironment(environ)


#: Read when this is imported, because a daemon is another process afterwards.
_PASSED = _passed_here()


@implementer(IStreamServerEndpoint)
@attrs.frozen
class PassedSocket:
    """The socket that an endpoint such as ``systemd:domain=INET:index=0`` names.

    :ivar backlog: connections that the kernel holds until they are accepted.
    """

    reactor: IReactorCore
    endpoint: EndpointText
    backlog: int

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """See `IStreamServerEndpoint`.

        :raises ConfigError: there is no such socket, or it is of another kind.
        """
        descriptor = _named(self.endpoint, _PASSED)
        family = _family(descriptor, self.endpoint)
        if family is not socket.AF_UNIX:
            adopting = AdoptedStreamServerEndpoint(self.reactor, descriptor, family)
            listening: Deferred[IListeningPort] = adopting.listen(protocolFactory)
            return listening.addCallback(_with_backlog, self.backlog)
        # A name that is no path keeps the port from the file: from changing its mode, which only
        # its owner may, and from removing it at the end, after which nobody could connect again.
        port = unix.Port(b"\0passed by systemd", protocolFactory, reactor=self.reactor)
        opened = socket.socket(fileno=descriptor)
        opened.setblocking(False)
        port._preexistingSocket = opened
        port.startListening()
        return succeed(_with_backlog(port, self.backlog))


def _with_backlog(port: IListeningPort, backlog: int) -> IListeningPort:
    """Adoption has set a backlog of 50, whatever systemd had."""
    opened: socket.socket = port.socket  # type: ignore[attr-defined]
    opened.listen(backlog)
    return port


def _named(endpoint: EndpointText, sockets: ListenFDs) -> int:
    """The descriptor that the endpoint means."""
    descriptors, names = sockets.inheritedDescriptors(), sockets.inheritedNamedDescriptors()
    if not descriptors:
        raise ConfigError(
            "no socket was passed to this process: it must be started by its .socket unit, with"
            " no other program between"
        )
    name = endpoint.options.get("name")
    if name is not None and name not in names:
        raise ConfigError(f"systemd passed no socket of this name; it passed {', '.join(names)}")
    index = int(endpoint.options.get("index", "0"))
    if name is None and index >= len(descriptors):
        raise ConfigError(f"systemd passed {len(descriptors)}; the first has the index 0")
    return descriptors[index] if name is None else names[name]


def _family(descriptor: int, endpoint: EndpointText) -> socket.AddressFamily:
    """The socket's family, which must be the one that the endpoint says."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as look:
            family, kind = socket.AddressFamily(look.family), look.type
            listens = look.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as failure:
        raise ConfigError(f"what systemd passed is no socket: {failure.strerror}") from None
    domain = family.name.removeprefix("AF_")
    if domain != endpoint.options["domain"]:
        raise ConfigError(f"systemd passed a socket of domain={domain}; write that")
    if kind != socket.SOCK_STREAM or not listens:
        raise ConfigError("systemd passed a socket that does not listen: use ListenStream=")
    return family
