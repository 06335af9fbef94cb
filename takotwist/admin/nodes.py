"""What a node says of itself to the others."""

from __future__ import annotations

import msgspec

from takotwist.core.node import Node


class NodeInfo(msgspec.Struct, frozen=True):
    """One node, by its own words.

    Small, because each node says it every few seconds: what its pages show is asked of it.

    :ivar id: stands in the ids of the live objects that it holds.
    :ivar label: of the node in metrics; the same after a restart.
    :ivar peer: where it listens for other nodes: ``unix:PATH`` or ``tcp:HOST:PORT``.
    :ivar worker: its number among the workers of its server.
    :ivar head: the id up to which the log has reported to it.
    :ivar topics: that have subscribers on it.
    """

    id: str
    label: str
    host: str
    peer: str
    worker: int
    pid: int
    version: str
    ready: bool = False
    head: int = 0
    connections: int = 0
    subscriptions: int = 0
    topics: int = 0


_INFO = msgspec.msgpack.Decoder(NodeInfo)


def read_info(node: Node) -> NodeInfo | None:
    """What a node says; `None` where it has said nothing yet that we could read."""
    try:
        return _INFO.decode(node.info)
    except (msgspec.MsgspecError, ValueError):
        return None
