"""The nodes of a server: what each says of itself, what their pages say together, and a page
that lists them.

Each node says a little of itself every few seconds, for the others to find it.  What its pages
show it is asked for when somebody looks, so it is of that moment, and nobody pays for pages
that nobody reads.  Rule: a node that does not answer in time is shown as such, and keeps
nothing of the others from being shown.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from typing import Protocol

import attrs
import msgspec
from twisted.web.resource import Resource

from takotwist.admin.page import WaitingPage
from takotwist.core.node import Node
from takotwist.errors import StoreUnavailable
from takotwist.live.peers import VERSION
from takotwist.streams.http.interface import BodyRequest

#: Path of the page, on the private listener.
NODES_PATH = "/_tako/nodes"


class NodeInfo(msgspec.Struct, frozen=True):
    """One node, by its own words, which nodes of other releases read too: what is here stays, and
    what comes has a default.

    :ivar id: stands in the ids of the live objects that it holds.
    :ivar label: of the node in metrics; the same after a restart.
    :ivar peer: where it listens for other nodes: ``unix:PATH`` or ``tcp:HOST:PORT``.
    :ivar worker: its number among the workers of its server.
    :ivar place: its name in rosters, the same after a restart.
    :ivar since: when it started, by unix time in seconds.
    :ivar ready: it serves who comes now; `store_available`: it can store, too.
    :ivar head: the id up to which the log has reported to it.
    :ivar topics: that have subscribers on it.
    :ivar secret: that a connection of another node begins with; on no page.
    :ivar speaks: the version of what nodes say to each other.
    """

    id: str
    label: str
    host: str
    peer: str
    worker: int
    pid: int
    version: str
    place: str = ""
    since: float = 0.0
    ready: bool = False
    head: int = 0
    connections: int = 0
    subscriptions: int = 0
    topics: int = 0
    secret: str = ""
    store_available: bool = True
    speaks: int = 1

    def __repr__(self) -> str:
        return f"<NodeInfo {self.label} {self.id}>"


def this_process(
    id: str = "", worker: int = 1, peer: str = "", secret: str = "", place: str = ""
) -> NodeInfo:
    """Facts of this process that are known as soon as it runs."""
    host = socket.gethostname()
    return NodeInfo(
        id=id,
        label=f"{host}:{worker}",
        host=host,
        peer=peer,
        worker=worker,
        pid=os.getpid(),
        version=version("takotwist"),
        secret=secret,
        speaks=VERSION,
        place=place,
    )


_INFO = msgspec.msgpack.Decoder(NodeInfo)


def read_info(node: Node) -> NodeInfo | None:
    """Description of a node, by itself; `None` where it has said nothing yet that we could read."""
    try:
        return _INFO.decode(node.info)
    except (msgspec.MsgspecError, ValueError):
        return None


@attrs.frozen(slots=True)
class Answered:
    """One of the other nodes, and its answer.

    :ivar info: as the directory has it.
    :ivar body: `None` where it did not answer.
    """

    info: NodeInfo
    body: bytes | None


class OtherNodes(Protocol):
    """The other nodes, as the pages need them."""

    def ask(self, what: str) -> Awaitable[Sequence[Answered]]:
        """Ask all of them for one of their own pages.  Raises nothing."""


class NodesPage(WaitingPage):
    """``GET /_tako/nodes``: who is there, since when, and how far behind the log.

    :param own: what this node says of itself now.
    :param newest: asks for the store's newest id.
    :param others: `None` where there is one process.
    """

    def __init__(
        self,
        own: Callable[[], NodeInfo],
        newest: Callable[[], Awaitable[int]],
        others: OtherNodes | None,
    ) -> None:
        Resource.__init__(self)
        self._own = own
        self._newest = newest
        self._others = others

    async def own_content(self) -> bytes:
        """Answer to another node that asks."""
        return msgspec.msgpack.encode(self._own())

    async def content(self, request: BodyRequest) -> bytes:
        """See `WaitingPage`."""
        newest: int | None
        try:
            newest = await self._newest()
        except StoreUnavailable:
            newest = None
        own = self._own()
        shown = [_shown(own, newest, answered=True, here=True)]
        for one in [] if self._others is None else await self._others.ask("node"):
            info = one.info if one.body is None else _INFO.decode(one.body)
            shown.append(_shown(info, newest, answered=one.body is not None, here=False))
        shown.sort(key=lambda one: (str(one["host"]), one["worker"], one["since"]))
        return msgspec.json.encode({"nodes": shown, "store_available": newest is not None})


def _shown(
    info: NodeInfo, newest: int | None, *, answered: bool, here: bool
) -> dict[str, str | int | float | bool | None]:
    # An id is a time in microseconds.  What is asked after the head may be above it.
    # Without a head it has said nothing since the log was opened.
    unknown = newest is None or not info.head
    behind = None if unknown else max(0, (newest or 0) - info.head) / 1_000_000
    return {
        "node": info.label,
        "id": info.id,
        "host": info.host,
        "worker": info.worker,
        "pid": info.pid,
        "version": info.version,
        "since": info.since,
        "ready": info.ready,
        "store_available": info.store_available,
        "answered": answered,
        "here": here,
        "behind_seconds": behind,
        "connections": info.connections,
        "subscriptions": info.subscriptions,
        "topics": info.topics,
    }
