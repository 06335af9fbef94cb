"""What a connection holds that has nothing to do.

Objects are counted, not bytes: bytes differ between machines and from run to run.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist import Channel, Grant, VerifyRequest, define_channel
from takotwist.testing.world import World

ROOM = "/channels/club?roomId=a"
MEMBER = {"Authorization": "Bearer member"}

#: The other end of the connection, which is in this process only here.
ELSEWHERE = ("takotwist.testing.", "twisted.internet.testing", "tests.")


def club() -> Channel[Any]:
    """A channel with credentials and a handler."""
    params = {"type": "object", "properties": {"roomId": {"type": "string"}}}
    channel = define_channel("club", params=params)

    @channel.verify(header="authorization")
    def verify(request: VerifyRequest[Any]) -> Grant:
        return Grant(subject="m1")

    @channel.on("msg")
    def said(data: Any, context: Any) -> Any:
        return data

    return channel


def held(world: World, connect: Callable[[], Any]) -> list[Any]:
    """The objects that one more connection has on the server, as Python's collector knows them."""
    peers = [connect(), connect()]
    gc.collect()
    before = gc.get_objects()
    known = {id(one) for one in before}
    peers.append(connect())
    gc.collect()
    session = list(world.parts.sessions)[-1]
    found = {id(session): session}
    waiting: list[Any] = [session]
    while waiting:
        for part in gc.get_referents(waiting.pop()):
            kind = f"{type(part).__module__}."
            if (
                id(part) not in known
                and id(part) not in found
                and gc.is_tracked(part)
                and not kind.startswith(ELSEWHERE)
            ):
                found[id(part)] = part
                waiting.append(part)
    assert len(world.parts.sessions) == len(peers)
    return list(found.values())


def shown(objects: list[Any]) -> str:
    """For who has to find what is too much."""
    return str(Counter(type(one).__name__ for one in objects).most_common())


class IdleTests(SynchronousTestCase):
    """Objects of one idle connection, after its handshake and the first keepalive."""

    def _check(self, connect: Callable[[World], Any], most: int, closures: int) -> None:
        world = World(club())
        objects = held(world, lambda: connect(world))
        self.assertLessEqual(len(objects), most, shown(objects))
        ours = [one for one in objects if type(one).__module__.startswith("takotwist.")]
        self.assertGreater(len(ours), 5, shown(objects))
        loose = {type(one).__name__ for one in ours if type(one).__dictoffset__}
        # What is made of Twisted's and Autobahn's classes has one because they do.
        loose -= {"HttpConnection", "AutobahnProtocol"}
        self.assertEqual(loose, set(), "these have a dictionary for each instance")
        made = [one for one in objects if type(one) is type(shown)]
        self.assertLessEqual(len(made), closures, [one.__qualname__ for one in made])

    def test_event_stream(self) -> None:
        """An event stream has few objects, none with a dictionary, and no closure."""
        self._check(lambda world: world.subscribe(ROOM, MEMBER), 34, 0)

    def test_websocket(self) -> None:
        """So has a WebSocket, with three closures: its credentials for a refresh, and pressure."""
        self._check(lambda world: world.connect(ROOM, MEMBER), 44, 3)

    def test_said_once(self) -> None:
        """What a client's frame needs is there when the first one comes."""
        world = World(club())
        socket = world.connect(ROOM, MEMBER)
        (session,) = world.parts.sessions
        (subscribed,) = session.subscribed.values()
        self.assertIsNone(subscribed._frames)
        socket.say({"type": "msg", "data": 1})
        self.assertIsNotNone(subscribed._frames)
        self.assertEqual([message["data"] for message in socket.messages], [1])
