"""Listening sockets that need care: those that systemd passes, and files of Unix sockets.

A passed socket (sd_listen_fds(3)) stays open over a restart, so clients wait instead of being
refused, and it may be a port that the service itself has no right to.  A Unix socket's path is
cleared of what a crash left, and never open to others than its mode says.

Rules: a passed Unix socket's file is systemd's, so its mode is not changed and the file is not
removed (Twisted's own adoption does both); a socket file is removed only when nobody answers
behind it, and a new one has its mode from the first moment.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import attrs
from twisted.internet import tcp, unix
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorCore,
    IStreamServerEndpoint,
)
from twisted.python.systemd import ListenFDs
from zope.interface import implementer

from takotwist.errors import ConfigError
from takotwist.server.config.endpoint_text import LONGEST_SOCKET_PATH, EndpointText

#: Seconds that a listening process has to take the probing connection.
PATIENCE = 1.0

#: (device, inode) of a socket file.
FileId = tuple[int, int]

# sockets that systemd passes


def _passed_here() -> ListenFDs:
    """The sockets that were passed to this process, named or not.

    Twisted takes them out of the environment when it is imported, and forgets them where
    they have no names, which they need not have.  With what a process was started the
    kernel still knows.
    """
    try:
        started_with = Path("/proc/self/environ").read_bytes()
    except OSError:
        started_with = b"LISTEN_FDS"
    if b"LISTEN_FDS" not in started_with and "LISTEN_FDS" not in os.environ:
        # As a rule; and then what follows is not imported, which takes 13 MB for `streams`.
        return ListenFDs([])
    from takotwist.streams.seams.reactor import inherited_sockets

    known = inherited_sockets()
    if known.inheritedDescriptors():
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
        """Implement `IStreamServerEndpoint`.

        :raises ConfigError: there is no such socket, or it is of another kind.
        """
        descriptor = _named(self.endpoint, _PASSED)
        family = _family(descriptor, self.endpoint)
        if family is not socket.AF_UNIX:
            adopting = AdoptedStreamServerEndpoint(self.reactor, descriptor, family)
            listening: Deferred[IListeningPort] = adopting.listen(protocolFactory)
            return listening.addCallback(_with_backlog, self.backlog)
        from takotwist.streams.seams.reactor import use_opened_socket

        # A name that is no path keeps the port from the file: from changing its mode, which only
        # its owner may, and from removing it at the end, after which nobody could connect again.
        port = unix.Port(b"\0passed by systemd", protocolFactory, reactor=self.reactor)
        opened = socket.socket(fileno=descriptor)
        opened.setblocking(False)
        use_opened_socket(port, opened)
        port.startListening()
        return succeed(_with_backlog(port, self.backlog))


def _with_backlog(port: IListeningPort, backlog: int) -> IListeningPort:
    """Adoption has set a backlog of 50, whatever systemd had."""
    cast(tcp.Port, port).socket.listen(backlog)
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


# files of Unix sockets


@contextmanager
def binding(endpoint: EndpointText) -> Iterator[None]:
    """Guard the listening on a Unix endpoint.

    Two servers that start at once do this one after the other, so neither removes the socket
    that the other has just made.

    :raises ConfigError: the path is taken, too long, or cannot be used.
    """
    path = endpoint.path or ""
    if len(path.encode()) > LONGEST_SOCKET_PATH:
        raise ConfigError(
            f"has a path of more than {LONGEST_SOCKET_PATH} bytes, which the system does not take",
            source=str(endpoint),
        )
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, mode=0o750, exist_ok=True)
    mode = endpoint.options.get("mode")
    with _locked(folder):
        _clear(path)
        # bind() makes the file with what the mask leaves, and only then is its mode set.
        before = os.umask(0o777 & ~int(mode, 8)) if mode else None
        try:
            yield
        finally:
            if before is not None:
                os.umask(before)


@contextmanager
def _locked(folder: str | Path) -> Iterator[None]:
    """Keep out others who clear or bind in this folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def file_id(path: str) -> FileId | None:
    """Identity of the file at `path`; `None` where none is."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def remove_dead(folder: Path, pattern: str) -> None:
    """Remove the sockets of processes that were killed, and whose names nobody has again.

    One process after the other, and none while another one binds: a socket that does not listen
    yet would be taken for a dead one.
    """
    with _locked(folder):
        for path in folder.glob(pattern):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.setblocking(False)
                try:
                    probe.connect(str(path))
                except ConnectionRefusedError:
                    path.unlink(missing_ok=True)
                except OSError:
                    # It is gone already, or its queue is full.
                    continue


def reserve_path(path: str) -> None:
    """Put an empty file where a socket was removed: Twisted removes it when it closes the port."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _clear(path: str) -> None:
    """Remove a socket that nobody serves any more."""
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise ConfigError("is there already and is no socket; move it away", source=path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PATIENCE)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except FileNotFoundError:
            return
        except OSError as failure:
            # A full queue, a missing right: somebody may well be there.
            raise ConfigError(
                f"is in use, or not ours to try: {failure.strerror or failure}", source=path
            ) from None
    raise ConfigError("is served by another process; stop that one first", source=path)
