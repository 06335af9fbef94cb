"""Parts of Twisted's reactors and ports: passed sockets, and the asyncio loop beneath."""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp
from twisted.internet.endpoints import _SystemdParser
from twisted.python.systemd import ListenFDs


def inherited_sockets() -> ListenFDs:
    """The named sockets that systemd passed.

    Twisted takes them out of the environment when it is imported, so its own record is the
    only one.
    """
    return _SystemdParser._sddaemon


def use_opened_socket(port: tcp.Port, opened: Any) -> None:
    """Let `port` listen on `opened`, in place of a socket that it would make and bind.

    :param opened: a listening socket, or what accepts and names itself as one does.

    The public way, `adoptStreamPort`, changes the mode of the socket's file and removes it at the
    end.
    """
    port._preexistingSocket = opened


def runs_asyncio(reactor: object) -> bool:
    """True where asyncio's loop runs `reactor`, so that coroutines may await asyncio's futures."""
    return hasattr(reactor, "_asyncioEventloop")
