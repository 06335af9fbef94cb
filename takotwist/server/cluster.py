"""This node among the others of its server: seen by them, and reachable for them.

Started before the log and stopped after the drain.  Rule: a node is in the directory, with the
address of a listener that is open, before it hands out the first live object; so an object whose
node is in no directory has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from takotwist.admin.nodes import Answered, NodeInfo, read_info, this_process
from takotwist.errors import Refusal
from takotwist.interfaces import IReactor
from takotwist.live.peers import NodeGone, Show, ask
from takotwist.ports import INodeDirectory, IReplayLog
from takotwist.server.config import Config
from takotwist.server.peers import NodePeers
from takotwist.transports.live.peer_door import PeerDoor

#: How often a node says what it is.
RENEW_SECONDS = 5.0

#: Seconds for which a page waits for another node.
ASK_SECONDS = 3.0


class Cluster(Service):
    """The node's part in it; asks the others for the administrator's pages (`OtherNodes`).

    :ivar peers: the way to the others.
    :ivar info: what there is to say of this one as soon as it runs.
    """

    def __init__(
        self,
        reactor: IReactor,
        directory: INodeDirectory,
        peers: NodePeers,
        worker: int,
        place: str,
    ) -> None:
        self.peers = peers
        self.info = this_process(peers.name, worker, peers.address, peers.secret, place)
        self._directory = directory
        self._reactor = reactor
        self._door: PeerDoor | None = None
        self._now: Callable[[], NodeInfo] = lambda: self.info
        self._loop = LoopingCall(self._renew)
        self._loop.clock = reactor

    @classmethod
    def of(
        cls,
        config: Config,
        reactor: IReactor,
        log: IReplayLog,
        place: str,
        worker: int = 1,
        slot: int = 0,
    ) -> Cluster | None:
        """The cluster of a server whose log is shared; `None` where it has its log alone.

        :param place: see `NodeInfo`.
        :param worker: its number.
        :param slot: see `Worker`.
        """
        if log.everything or not INodeDirectory.providedBy(log):
            return None
        return cls(reactor, log, NodePeers.of(config, reactor, log, slot), worker, place)

    def serve(self, door: PeerDoor, now: Callable[[], NodeInfo]) -> None:
        """Serve the others by `door`.

        :param now: what this node says of itself at the moment.
        """
        self._door, self._now = door, now

    async def ask(self, what: str) -> Sequence[Answered]:
        """See `OtherNodes`."""
        infos = await self.peers.other_nodes()
        return await gatherResults([self._ask(one, what) for one in infos])

    async def places(self) -> Collection[str] | None:
        """The places of all nodes that are there; `None` while one has not said its own."""
        infos = [read_info(node) for node in await self._directory.nodes()]
        places = {info.place if info is not None else "" for info in infos}
        return None if "" in places else places

    def _ask(self, info: NodeInfo, what: str) -> Deferred[Answered]:
        async def answer() -> Answered:
            outcome = await ask(self.peers, Show(info.id, what))
            return Answered(info, None if outcome.code else outcome.body)

        asking: Deferred[Answered] = Deferred.fromCoroutine(answer())
        asking.addTimeout(ASK_SECONDS, self._reactor)

        def unanswered(failure: Failure) -> Answered:
            failure.trap(NodeGone, Refusal, DeferredTimeout)
            return Answered(info, None)

        return asking.addErrback(unanswered)

    async def look_after_socket(self) -> None:
        """See `NodePeers.look_after`."""
        await self.peers.look_after()

    def _renew(self) -> None:
        self._directory.renew(msgspec.msgpack.encode(self._now()))

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
