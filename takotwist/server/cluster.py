"""This node among the others of its server: seen by them, and reachable for them.

Started before the log and stopped after the drain.  Rule: a node is in the directory, with the
address of a listener that is open, before it hands out the first live object; so an object whose
node is in no directory has ended.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from takotwist.admin.nodes import NodeInfo
from takotwist.ports import INodeDirectory, IReplayLog
from takotwist.server.config import Config
from takotwist.server.peers import NodePeers
from takotwist.transports.live.peer_door import PeerDoor

#: How often a node says what it is.
RENEW_SECONDS = 5.0


class Cluster(Service):
    """The node's part in it.

    :ivar peers: the way to the others.
    :ivar directory: where all are listed.
    """

    def __init__(self, reactor: Any, directory: INodeDirectory, peers: NodePeers, worker: int):
        self.peers = peers
        self.directory = directory
        self._worker = worker
        self._door: PeerDoor | None = None
        self._count: Callable[[NodeInfo], NodeInfo] = lambda info: info
        self._loop = LoopingCall(self.renew)
        self._loop.clock = reactor

    @classmethod
    def of(cls, config: Config, reactor: Any, log: IReplayLog, worker: int = 1) -> Cluster | None:
        """The cluster of a server whose log is shared; `None` where it has its log alone.

        :param worker: its number.
        """
        if log.everything or not INodeDirectory.providedBy(log):
            return None
        directory: Any = log
        return cls(reactor, directory, NodePeers.of(config, reactor, directory, worker), worker)

    def serve(self, door: PeerDoor, count: Callable[[NodeInfo], NodeInfo]) -> None:
        """Serve the others by `door`.

        :param count: puts the numbers of the moment into an info.
        """
        self._door, self._count = door, count

    @property
    def info(self) -> NodeInfo:
        """What this node says of itself now."""
        peers = self.peers
        said = NodeInfo(
            id=peers.name,
            label=f"{peers.host}:{self._worker}",
            host=peers.host,
            peer=peers.address,
            worker=self._worker,
            pid=os.getpid(),
            version=version("takotwist"),
        )
        return self._count(said)

    def renew(self) -> None:
        """Say what this node is."""
        self.directory.renew(msgspec.msgpack.encode(self.info))

    def startService(self) -> None:
        """Be there for the others.

        :raises ConfigError: the listener cannot be opened.
        """
        assert self._door is not None
        self.peers.listen(self._door.accept)
        Service.startService(self)
        self._loop.start(RENEW_SECONDS)

    def stopService(self) -> Deferred[None]:
        """Let go of the others' pages, and listen no more."""
        Service.stopService(self)
        if self._loop.running:
            self._loop.stop()
        if self._door is not None:
            self._door.stop()
        return self.peers.close()
