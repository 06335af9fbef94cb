"""The other nodes of this server: where they listen, and the listener for them.

Workers of one box listen on Unix sockets in the state folder; boxes on `server.peer_listen`.
Where a node listens it says in the directory of nodes, and a secret that is new with each run.
Rule: only who can read that directory is believed; but nothing is encrypted, so a TCP port
belongs into a private network all the same, and a Unix socket is of the server's user alone.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import attrs
import msgspec
from twisted.internet import error as internet_error
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.admin.nodes import NodeInfo, read_info
from takotwist.core.node import Node
from takotwist.errors import ConfigError, Overloaded, StoreUnavailable
from takotwist.interfaces import IReactor
from takotwist.live.peers import VERSION, Greeting, NodeGone, PeerListener
from takotwist.ports import INodeDirectory
from takotwist.server.config import Config
from takotwist.server.config.endpoint_text import LONGEST_SOCKET_PATH, EndpointText
from takotwist.server.listen import Listen
from takotwist.server.open_sockets import OpenSockets
from takotwist.server.sockets import remove_dead
from takotwist.transports.live.peer_connection import Accept, PeerConnection, PeerFactory

#: Seconds for a connection to another box.
CONNECT_SECONDS = 2.0

#: Seconds for which it is believed who is there.
KNOWN_SECONDS = 2.0


@attrs.define(slots=True, eq=False)
class NodePeers:
    """See `takotwist.live.peers.Peers`.

    :param longest: most bytes of a frame.
    :ivar name: of this node, which stands in the ids of what it holds.
    :ivar address: where it listens for the others.
    :ivar secret: that they begin with.
    """

    _reactor: IReactor
    _directory: INodeDirectory
    _endpoint: EndpointText
    address: str
    _longest: int
    name: str
    host: str = attrs.field(factory=socket.gethostname)
    secret: str = attrs.field(factory=secrets.token_urlsafe, init=False, repr=False)
    _known: dict[str, NodeInfo] = attrs.field(factory=dict, init=False)
    _known_at: float = attrs.field(default=float("-inf"), init=False)
    _looking: list[Deferred[bool]] = attrs.field(factory=list, init=False)
    _sockets: OpenSockets | None = attrs.field(default=None, init=False)
    _folders: dict[str, int] = attrs.field(factory=dict, init=False)
    #: Nodes of another version, of which the log has heard.
    _told: set[str] = attrs.field(factory=set, init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    @classmethod
    def of(
        cls, config: Config, reactor: IReactor, directory: INodeDirectory, slot: int
    ) -> NodePeers:
        """:param slot: of this process among those of its server, from 0 on.

        :raises ConfigError: names the key.
        """
        # Short: it is part of each object's id.
        name = secrets.token_hex(4)
        longest = 4 * config.live.max_message_bytes + 2**20
        endpoint, address = _where(config, name, slot)
        return cls(reactor, directory, endpoint, address, longest, name)

    def listen(self, accept: Accept) -> None:
        """Listen for the other nodes.

        :raises ConfigError: that is not possible; says why.
        """
        factory = PeerFactory(lambda: PeerConnection(self._reactor, self._longest, None, accept))
        path, endpoint, key = self._endpoint.path, self._endpoint, "server.peer_listen"
        if path is not None:
            remove_dead(Path(path).parent, "peer-*.sock")
            endpoint, key = endpoint.at(self._reachable(path)), "state_dir"
        self._sockets = OpenSockets(
            self._reactor,
            [Listen(endpoint=str(endpoint), factory=factory, key=key)],
            lambda at, one: one.port.startReading(),
        )
        self._sockets.open()

    async def look_after(self) -> None:
        """Listen again where the socket was removed: who tidies up temporary files removes it."""
        if self._sockets is not None:
            await self._sockets.look_after()

    def close(self) -> Deferred[None]:
        """Listen no more."""
        sockets, self._sockets = self._sockets, None
        return succeed(None) if sockets is None else ensureDeferred(sockets.close())

    async def connect(self, greeting: Greeting, listener: PeerListener) -> PeerConnection:
        """See `Peers`."""
        info = await self._info_of(greeting.node)
        self._understands(info)
        endpoint = self._endpoint_of(info)
        factory = PeerFactory(lambda: PeerConnection(self._reactor, self._longest, listener))
        try:
            connection = cast(PeerConnection, await endpoint.connect(factory))
        except internet_error.ConnectionRefusedError:
            raise NodeGone from None
        except (internet_error.ConnectError, internet_error.DNSLookupError):
            if info.peer.startswith("unix:"):
                # Its socket went with it.
                raise NodeGone from None
            raise Overloaded("Another node cannot be reached now.") from None
        connection.greet(msgspec.structs.replace(greeting, secret=info.secret, version=VERSION))
        return connection

    async def others(self) -> Sequence[str]:
        """See `Peers`.  As known: pages leave often, and a node that is new holds little."""
        if self._seconds() - self._known_at > KNOWN_SECONDS:
            await self._look()
        return [name for name in self._known if name != self.name]

    async def other_nodes(self) -> Sequence[NodeInfo]:
        """The others that are there, by what they say of themselves."""
        await self._look()
        return [info for info in self._known.values() if info.id != self.name]

    async def _info_of(self, name: str) -> NodeInfo:
        if name not in self._known or self._seconds() - self._known_at > KNOWN_SECONDS:
            asked = await self._look()
            if name not in self._known:
                raise NodeGone if asked else Overloaded
        return self._known[name]

    def _understands(self, info: NodeInfo) -> None:
        """Rule: a node of another version is told nothing, since it might misread it.  What it
        holds is there all the same, for pages that reach nodes of its version."""
        if info.speaks == VERSION:
            return
        if info.id not in self._told:
            self._told.add(info.id)
            self._log.warn(
                "the node {label} is of release {release}, which speaks version {theirs} of the"
                " protocol between nodes, and this one {ours}: until both are of one, live objects"
                " and pages of the one are not served through the other",
                label=info.label,
                release=info.version,
                theirs=info.speaks,
                ours=VERSION,
            )
        raise Overloaded("Another node is of another release; try again.")

    async def _look(self) -> bool:
        """Ask who is there; tell whether there was an answer.

        Whoever asks meanwhile shares it: a page may name a thousand nodes at once.
        """
        mine: Deferred[bool] = Deferred()
        self._looking.append(mine)
        if len(self._looking) == 1:
            # Not as part of who is first: where they leave, the others wait on.
            ensureDeferred(self._asked()).addBoth(self._answered)
        return await mine

    def _answered(self, result: bool | Failure) -> None:
        if isinstance(result, Failure):
            self._log.failure("asking who is there failed", result)
            result = False
        looking, self._looking = self._looking, []
        for one in looking:
            one.callback(result)

    async def _asked(self) -> bool:
        try:
            nodes: Sequence[Node] = await self._directory.nodes()
        except StoreUnavailable:
            return False
        found = [info for info in map(read_info, nodes) if info is not None]
        self._known = {info.id: info for info in found}
        self._known_at = self._seconds()
        self._told.intersection_update(self._known)
        return True

    def _endpoint_of(self, info: NodeInfo) -> IStreamClientEndpoint:
        kind, _, rest = info.peer.partition(":")
        if kind == "unix":
            if info.host != self.host:
                self._log.warn(
                    "a page came here whose live objects are on {host}, which has no"
                    " server.peer_listen: they have ended for it",
                    host=info.host,
                )
                raise NodeGone
            path = self._reachable(rest)
            return UNIXClientEndpoint(self._reactor, path, timeout=CONNECT_SECONDS)
        host, _, port = rest.rpartition(":")
        return HostnameEndpoint(
            self._reactor, host.strip("[]").encode(), int(port), timeout=CONNECT_SECONDS
        )

    def _reachable(self, path: str) -> str:
        """A path that the system takes for the socket: by its folder's descriptor if too long."""
        if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
            return path
        folder, name = os.path.split(path)
        if folder not in self._folders:
            # As a rule the one state folder of all; kept for as long as the process runs.
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            self._folders[folder] = os.open(folder, flags)
        return f"/proc/self/fd/{self._folders[folder]}/{name}"

    def _seconds(self) -> float:
        return float(self._reactor.seconds())


def _where(config: Config, name: str, slot: int) -> tuple[EndpointText, str]:
    """The endpoint of this node's listener, and how others reach it."""
    server = config.server
    if server.peer_listen is None:
        path = os.path.abspath(config.state_dir / f"peer-{name}.sock")
        return EndpointText.parse(f"unix:{path}:mode=600"), f"unix:{path}"
    said = EndpointText.parse(server.peer_listen)
    if not said.port:
        raise ConfigError("must be a TCP port, such as tcp:7070", key="server.peer_listen")
    host, _, port = (server.peer_url or f"{said.interface}:{said.port}").rpartition(":")
    if host.strip("[]") in ("", "0.0.0.0", "::"):
        raise ConfigError(
            "is missing: how do the other nodes reach this one? Say host:port, or give"
            " server.peer_listen an interface=",
            key="server.peer_url",
        )
    # Each has its own, a worker and its successor too: what is meant for one must not come to
    # another.
    options = {**said.options, "port": str(said.port + slot)}
    if said.interface:
        options["interface"] = said.interface
    endpoint = attrs.evolve(said, arguments=(), options=options)
    return endpoint, f"tcp:{host}:{int(port) + slot}"
