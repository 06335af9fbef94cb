"""Parts of Twisted's reactors and ports: passed sockets, and the asyncio loop beneath."""

from __future__ import annotations

import socket

from twisted.internet import unix
from twisted.internet.endpoints import _SystemdParser
from twisted.python.systemd import ListenFDs


def inherited_sockets() -> ListenFDs:
    """The named sockets that systemd passed.

    Twisted takes them out of the environment when it is imported, so its own record is the
    only one.
    """
    return _SystemdParser._sddaemon


def use_opened_socket(port: unix.Port, opened: socket.socket) -> None:
    """Let `port` listen on `opened`, in place of a socket that it would make and bind.

    The public way, `adoptStreamPort`, changes the mode of the socket's file and removes it at the
    end.
    """
    port._preexistingSocket = opened


def runs_asyncio(reactor: object) -> bool:
    """True where asyncio's loop runs `reactor`, so that coroutines may await asyncio's futures."""
    return hasattr(reactor, "_asyncioEventloop")
