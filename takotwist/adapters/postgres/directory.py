"""The nodes of one store: each renews a row, and one whose row has lapsed is not there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import LoopingCall

from takotwist.adapters.postgres.engine import Engine
from takotwist.adapters.postgres.errors import Trouble
from takotwist.adapters.postgres.link import Link
from takotwist.adapters.postgres.values import read_int8
from takotwist.core.node import Node
from takotwist.errors import StoreUnavailable
from takotwist.interfaces import IReactor

#: Seconds between two signs of life; three may be lost.
RENEW_SECONDS = 5.0


class Directory:
    """See `INodeDirectory`.

    :param readers: gives a connection.
    :param node: the name of this one.
    :param forgotten: called when the store knew this node no more.
    """

    def __init__(
        self,
        reactor: IReactor,
        engine: Engine,
        readers: Callable[[], Link],
        node: str,
        forgotten: Callable[[], object],
    ) -> None:
        self._forgotten = forgotten
        self._engine = engine
        self._readers = readers
        self._node = node
        self._info = b""
        self._known = False
        self._renew = engine.function("renew", 2)
        self._leave = engine.function("leave", 1)
        self._nodes = engine.function("nodes", 0)
        self._loop = LoopingCall(self.say)
        self._loop.clock = reactor

    def start(self) -> None:
        """Say that this node is there, from now on."""
        if not self._loop.running:
            self._loop.start(RENEW_SECONDS, now=False)

    def stop(self) -> None:
        """Say it no more."""
        if self._loop.running:
            self._loop.stop()

    def renew(self, info: bytes) -> None:
        """See `INodeDirectory`."""
        self._info = info
        if self._loop.running:
            self._loop.reset()
            self.say()

    def say(self) -> Deferred[None]:
        """A sign of life, with what this node last said of itself."""
        return ensureDeferred(self._say())

    async def _say(self) -> None:
        parameters = [self._node.encode(), self._info]
        try:
            result = await self._engine.call(self._readers(), self._renew, parameters)
        except Trouble:
            # An engine that is away hears it the next time.
            return
        if result.get_value(0, 0) != b"\1" and self._known:
            self._forgotten()
        self._known = True

    async def leave(self) -> None:
        """This node goes, in order: its topics are watched by nobody from now on."""
        self._known = False
        await self._engine.call(self._readers(), self._leave, [self._node.encode()])

    async def nodes(self) -> Sequence[Node]:
        """See `INodeDirectory`."""
        try:
            result = await self._engine.call(self._readers(), self._nodes)
        except Trouble:
            raise StoreUnavailable from None
        get = result.get_value
        return [
            Node((get(at, 0) or b"").decode(), read_int8(get(at, 1)) / 1_000_000, get(at, 2) or b"")
            for at in range(result.ntuples)
        ]
