"""Connections between nodes over real sockets: frames, back-pressure, and nodes that are gone."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from takotwist.admin.nodes import NodeInfo
from takotwist.core.node import Node
from takotwist.errors import ConfigError, Overloaded, StoreUnavailable
from takotwist.live.peers import (
    Carry,
    Greeting,
    Kind,
    Lines,
    NodeGone,
    Outcome,
    PeerStream,
    ask,
    tell,
)
from takotwist.server.config import Config
from takotwist.server.config.endpoint_text import EndpointText
from takotwist.server.config.limits import Live
from takotwist.server.config.sections import Server
from takotwist.server.peers import NodePeers
from takotwist.server.sockets import binding, remove_dead
from tests.sockets.server_process import free_port


class Heard:
    """Listens to one connection."""

    def __init__(self) -> None:
        self.frames: list[tuple[Kind, bytes]] = []
        self.pressures: list[bool] = []
        self.gone: Deferred[None] = Deferred()

    def received(self, kind: Kind, payload: bytes) -> None:
        self.frames.append((kind, payload))

    def pressure(self, full: bool) -> None:
        self.pressures.append(full)

    def lost(self) -> None:
        self.gone.callback(None)


class Door:
    """Takes the connections of one node."""

    def __init__(self) -> None:
        self.greetings: list[Greeting] = []
        self.streams: list[PeerStream] = []
        self.heard: list[Heard] = []
        self.came: Deferred[None] = Deferred()

    def accept(self, greeting: Greeting, stream: PeerStream) -> Heard:
        self.greetings.append(greeting)
        self.streams.append(stream)
        self.heard.append(Heard())
        if not self.came.called:
            self.came.callback(None)
        return self.heard[-1]


class Directory:
    """The nodes, as a test says.

    :ivar away: nobody can be asked.
    """

    def __init__(self) -> None:
        self.peers: list[NodePeers] = []
        self.away = False
        self.asked = 0
        self.waiting: Deferred[None] = succeed(None)

    def renew(self, info: bytes) -> None:
        """Say nothing."""

    def nodes(self) -> Deferred[Sequence[Node]]:
        self.asked += 1
        if self.away:
            return fail(StoreUnavailable())
        waiting, self.waiting = self.waiting, succeed(None)
        return waiting.addCallback(
            lambda _: [Node(one.name, 1.0, self.info(one)) for one in self.peers]
        )

    @staticmethod
    def info(one: NodePeers) -> bytes:
        said = NodeInfo(one.name, one.name, one.host, one.address, 1, 1, "1", secret=one.secret)
        return msgspec.msgpack.encode(said)


class PeersTests(TestCase):
    """Two nodes of one machine."""

    timeout = 120
    server = Server()

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tako-"))
        self.config = Config(
            state_dir=self.folder, server=self.server, live=Live(max_message_bytes=2**16)
        )
        self.directory: Any = Directory()
        self.nodes = [self.node(number) for number in (1, 2)]
        self.doors = [Door(), Door()]
        for node, door in zip(self.nodes, self.doors, strict=True):
            node.listen(door.accept)
            self.directory.peers.append(node)
        self.one, self.two = self.nodes

    async def tearDown(self) -> None:
        for node in self.nodes:
            await node.close()
        for path in self.folder.iterdir():
            path.unlink()
        self.folder.rmdir()

    def node(self, number: int) -> NodePeers:
        return NodePeers.of(self.config, reactor, self.directory, number - 1)

    async def connected(self) -> tuple[Any, Heard, Any, Heard]:
        """A connection, by its two ends."""
        mine = Heard()
        carry = Carry(self.two.name, {"cookie": "a=b", "x": None}, {"a": "b"}, "192.0.2.7")
        stream = await self.one.connect(carry, mine)
        door = self.doors[1]
        await door.came
        said = msgspec.structs.replace(carry, secret=self.two.secret)
        self.assertEqual(door.greetings, [said])
        return stream, mine, door.streams[0], door.heard[0]

    async def settle(self, true: Any) -> None:
        for _ in range(3000):
            if true():
                return
            await deferLater(reactor, 0.01)
        self.fail("it did not come")

    async def test_frames(self) -> None:
        """What is sent comes, whole and in order, both ways, with who the client is."""
        stream, mine, their_stream, theirs = await self.connected()
        sent = [(Kind.TEXT, b"x" * size) for size in (0, 1, 70_000)] + [(Kind.BINARY, b"\x00")]
        for kind, payload in sent:
            stream.send(kind, payload)
            their_stream.send(kind, payload)
        await self.settle(lambda: len(mine.frames) == len(theirs.frames) == 4)
        self.assertEqual((mine.frames, theirs.frames), (sent, sent))
        stream.send(Kind.LEFT)
        stream.close()
        await theirs.gone
        await mine.gone
        self.assertEqual(theirs.frames[4:], [(Kind.LEFT, b"")])
        their_stream.send(Kind.TEXT, b"too late")

    async def test_back_pressure(self) -> None:
        """Who does not read holds back who writes, and nothing is lost."""
        stream, mine, their_stream, theirs = await self.connected()
        their_stream.hold(True)
        count = full = 0
        while full < 20:
            # What the sockets' own buffers take is taken, one after the other.
            full = full + 1 if stream.full else 0
            if not stream.full:
                stream.send(Kind.TEXT, b"y" * 60_000)
                count += 1
            self.assertLess(count, 1000)
            await deferLater(reactor, 0.002)
        self.assertIn(True, mine.pressures)
        self.assertEqual(theirs.frames, [])
        their_stream.hold(False)
        await self.settle(lambda: len(theirs.frames) == count)
        await self.settle(lambda: not stream.full)
        self.assertFalse(mine.pressures[-1])
        stream.close()
        await theirs.gone
        await mine.gone

    async def test_asks(self) -> None:
        """One question, one outcome; or a node that goes away before it has answered."""
        asking = Deferred.fromCoroutine(ask(self.one, Lines(self.two.name, "k", "t", b"body")))
        await self.doors[1].came
        outcome = Outcome("not-found", "No.", 404)
        self.doors[1].streams[0].send(Kind.END, msgspec.msgpack.encode(outcome))
        self.assertEqual(await asking, outcome)
        self.doors[1].came = Deferred()
        again = Deferred.fromCoroutine(ask(self.one, Lines(self.two.name, "k", "t", b"body")))
        await self.doors[1].came
        self.doors[1].streams[1].abort()
        await self.assertFailure(again, NodeGone)
        for heard in self.doors[1].heard:
            await heard.gone

    async def test_gone(self) -> None:
        """Who listens no more is gone at once, and so is who is in no directory."""
        await self.two.close()
        with self.assertRaises(NodeGone):
            await self.one.connect(Carry(self.two.name, {}, {}, ""), Heard())
        with self.assertRaises(NodeGone):
            await self.one.connect(Carry("nobody", {}, {}, ""), Heard())
        tell(self.one, Lines("nobody", "", "", b""))

    async def test_asked_once(self) -> None:
        """A page that names many nodes at once costs the directory one question."""
        waiting = self.directory.waiting = Deferred()
        asking = [
            Deferred.fromCoroutine(self.one.connect(Carry(f"n{n}", {}, {}, ""), Heard()))
            for n in range(100)
        ]
        waiting.callback(None)
        for one in asking:
            await self.assertFailure(one, NodeGone)
        self.assertEqual(self.directory.asked, 1)

    async def test_directory_away(self) -> None:
        """While nobody can be asked, who was there is believed to be, and nobody is dead."""
        self.assertEqual(await self.one.others(), [self.two.name])
        self.directory.away = True
        self.assertEqual(await self.one.others(), [self.two.name])
        stream, mine, _, theirs = await self.connected()
        stream.close()
        await mine.gone
        await theirs.gone
        with self.assertRaises(Overloaded):
            await self.one.connect(Carry("new", {}, {}, ""), Heard())

    async def test_strangers(self) -> None:
        """What is no frame of ours, or one that is too long, ends its connection alone."""
        await self.greet_badly(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await self.greet_badly(b"\x00\x00\x00\x03abc")
        self.assertEqual(self.doors[1].greetings, [])

    async def greet_badly(self, sent: bytes) -> None:
        kind, _, where = self.two.address.partition(":")
        if kind == "unix":
            stranger = socket.socket(socket.AF_UNIX)
            stranger.connect(where)
        else:
            host, _, port = where.rpartition(":")
            stranger = socket.create_connection((host, int(port)))
        with stranger:
            stranger.setblocking(False)
            stranger.sendall(sent)
            got: list[bytes] = []

            def closed() -> bool:
                try:
                    got.append(stranger.recv(10))
                except BlockingIOError:
                    return False
                except ConnectionResetError:
                    got.append(b"")
                return True

            await self.settle(closed)
            self.assertEqual(got, [b""])


class UnixPeersTests(PeersTests):
    """Workers of one box."""

    async def test_private(self) -> None:
        """The socket is its user's alone; it goes with the node, and what a kill left goes with
        the next."""
        path = Path(self.two.address.removeprefix("unix:"))
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        left = self.folder / "peer-killed.sock"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(left))
        remove_dead(self.folder, "peer-*.sock")
        self.assertFalse(left.exists())
        self.assertTrue(path.exists())
        await self.two.close()
        self.assertFalse(path.exists())

    async def test_start_at_once(self) -> None:
        """Nodes that start at once clear and bind one after the other: what is bound and does not
        listen yet is not dead."""
        path = self.folder / "peer-new.sock"
        clearing = threading.Thread(target=remove_dead, args=(self.folder, "peer-*.sock"))
        with socket.socket(socket.AF_UNIX) as new:
            with binding(EndpointText.parse(f"unix:{path}:mode=600")):
                new.bind(str(path))
                clearing.start()
                clearing.join(0.2)
                self.assertTrue(clearing.is_alive() and path.exists())
                new.listen()
            clearing.join(20)
            self.assertFalse(clearing.is_alive())
            self.assertTrue(path.exists())

    async def test_removed(self) -> None:
        """A socket that somebody removes is made anew, and leads to the same node; one that lies
        in its place is left alone."""
        path = Path(self.two.address.removeprefix("unix:"))
        path.unlink()
        with self.assertRaises(NodeGone):
            await self.one.connect(Carry(self.two.name, {}, {}, ""), Heard())
        await self.two.look_after()
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        stream, mine, _, theirs = await self.connected()
        # Whoever is connected loses nothing by it.
        path.unlink()
        await self.two.look_after()
        stream.send(Kind.TEXT, b"x")
        await self.settle(lambda: theirs.frames)
        stream.close()
        await mine.gone
        await theirs.gone
        path.unlink()
        path.write_text("another's")
        await self.two.look_after()
        await self.two.close()
        self.assertEqual(path.read_text(), "another's")

    async def test_deep_folder(self) -> None:
        """A state folder whose path is longer than a socket's may be."""
        deep = self.folder / ("d" * 100)
        deep.mkdir()
        self.config = Config(state_dir=deep)
        node = self.node(3)
        door = Door()
        node.listen(door.accept)
        self.directory.peers.append(node)
        mine = Heard()
        stream = await self.one.connect(Carry(node.name, {}, {}, ""), mine)
        await door.came
        stream.close()
        await mine.gone
        await door.heard[0].gone
        await node.close()
        self.assertEqual(list(deep.iterdir()), [])
        deep.rmdir()

    async def test_another_box(self) -> None:
        """A Unix socket of another box is not looked for on this one."""
        self.two.host = "elsewhere"
        with self.assertRaises(NodeGone):
            await self.one.connect(Carry(self.two.name, {}, {}, ""), Heard())


class TcpPeersTests(PeersTests):
    """Boxes, and workers of one: each has a port of its own."""

    def setUp(self) -> None:
        port = free_port(2)
        self.server = Server(peer_listen=f"tcp:{port}:interface=127.0.0.1")
        super().setUp()
        self.assertEqual(
            [one.address for one in self.nodes],
            [f"tcp:127.0.0.1:{port}", f"tcp:127.0.0.1:{port + 1}"],
        )

    async def test_url(self) -> None:
        """The others may reach it by another name; without any that is an error that says so."""
        self.config = Config(
            state_dir=self.folder, server=Server(peer_listen="tcp:7070", peer_url="box1:7000")
        )
        self.assertEqual(self.node(3).address, "tcp:box1:7002")
        self.config = Config(state_dir=self.folder, server=Server(peer_listen="tcp:7070"))
        error = self.assertRaises(ConfigError, self.node, 1)
        self.assertIn("peer_url", str(error))
        self.config = Config(
            state_dir=self.folder, server=Server(peer_listen="unix:/run/x.sock", peer_url="a:1")
        )
        self.assertIn("TCP port", str(self.assertRaises(ConfigError, self.node, 1)))

    async def test_taken(self) -> None:
        """A port that is taken is said with its key."""
        error = self.assertRaises(ConfigError, self.node(1).listen, Door().accept)
        self.assertIn("server.peer_listen", str(error))


del PeersTests
