"""What a connection leaves behind when it has ended: nothing, and that at once.

Parts that know each other in a circle would stay until Python looks for cycles
among what is old, which a busy server does once in millions of objects: memory
would climb for hours and fall again.  So Python does not look while these run.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from takotwist.testing.memory_peer import HttpPeer
from takotwist.testing.world import World
from tests.stories.test_idle_connections import MEMBER, ROOM, club

#: The same with a cursor from before this server's log.
STALE = {**MEMBER, "Last-Event-ID": "5"}

#: What is stored is kept in memory too, for who comes back.
STORED = ("takotwist.codecs.wire_forms.Encoded", "takotwist.core.topic.Topic")

TIMES = 5


def ours() -> Counter[str]:
    """How many objects of each of our types there are, garbage too."""
    kinds = Counter(map(type, gc.get_objects()))
    return Counter(
        {
            f"{kind.__module__}.{kind.__qualname__}": number
            for kind, number in kinds.items()
            if str(kind.__module__).startswith("takotwist.")
        }
    )


class EndedTests(SynchronousTestCase):
    """Connections of all kinds that end in all ways."""

    def setUp(self) -> None:
        self.world = World(club())

    def _check(self, connect: Callable[[], HttpPeer], seconds: float = 0.25) -> None:
        """Nothing of what `connect` makes is there when its client has left.

        :param seconds: from the beginning to the end.
        """

        def once() -> None:
            peer = connect()
            self.world.advance(seconds)
            peer.leave()
            self.world.advance(1)

        # What the first ones load and remember stays.
        once()
        once()
        gc.collect()
        gc.disable()
        try:
            before = ours()
            for _ in range(TIMES):
                once()
            left = ours() - before
            for kind in STORED:
                del left[kind]
        finally:
            gc.enable()
        self.assertEqual({kind: number for kind, number in left.items() if number >= TIMES}, {})

    def test_event_stream(self) -> None:
        """A reader of an event stream leaves."""
        self._check(lambda: self.world.subscribe(ROOM, MEMBER))

    def test_event_stream_that_was_told_something(self) -> None:
        """A reader leaves that was given keepalives and messages."""

        def connect() -> HttpPeer:
            peer = self.world.subscribe(ROOM, MEMBER)
            said = {"type": "msg", "data": "hi"}
            self.world.request("POST", ROOM, body=said, private=True).leave()
            self.assertEqual(len(peer.messages), 1)
            return peer

        self._check(connect, 60)

    def test_event_stream_at_the_end_of_its_lifetime(self) -> None:
        """The server ends an event stream."""
        self._check(lambda: self.world.subscribe(ROOM, MEMBER), 7200)

    def test_cursor_too_old(self) -> None:
        """A reader is refused because of its cursor, when all was ready for it."""

        def connect() -> HttpPeer:
            peer = self.world.subscribe(ROOM, STALE)
            self.assertEqual(peer.status, 410)
            return peer

        self.world.publish(ROOM, "msg", "hi")
        self._check(connect)

    def test_websocket(self) -> None:
        """A client of a WebSocket goes without a word."""
        self._check(lambda: self.world.connect(ROOM, MEMBER))

    def test_websocket_that_said_something(self) -> None:
        """A client goes that has published, and closes as it should."""

        def connect() -> HttpPeer:
            peer = self.world.connect(ROOM, MEMBER)
            peer.say({"type": "msg", "data": 1})
            self.assertEqual(len(peer.messages), 1)
            peer.close()
            return peer

        self._check(connect)

    def test_websocket_at_the_end_of_its_lifetime(self) -> None:
        """The server closes a WebSocket."""
        self._check(lambda: self.world.connect(ROOM, MEMBER), 7200)

    def test_websocket_with_a_cursor_too_old(self) -> None:
        """A WebSocket is opened only to be told that its cursor is too old."""

        def connect() -> HttpPeer:
            peer = self.world.connect(f"{ROOM}&last_message_id=5", MEMBER, subprotocol="tako.v1")
            assert peer.close_reason is not None
            self.assertEqual(peer.close_reason[0], 4410)
            return peer

        self.world.publish(ROOM, "msg", "hi")
        self._check(connect)

    def test_many_topics(self) -> None:
        """A connection with many topics goes; one of them it had left before."""

        def connect() -> HttpPeer:
            peer = self.world.connect("/_tako/connect", subprotocol="tako.v1")
            for room in "ab":
                topic = {"channel": "club", "params": {"roomId": room}}
                peer.say({"op": "subscribe", "ref": room, **topic, "auth": "Bearer member"})
                peer.say({"op": "publish", **topic, "type": "msg", "data": 1, "auth": "Bearer m"})
            peer.say({"op": "unsubscribe", "ref": 1, **topic})
            self.assertEqual(len(peer.messages), 2)
            return peer

        self._check(connect)

    def test_many_topics_over_an_event_stream(self) -> None:
        """The same where WebSocket is blocked."""

        def connect() -> HttpPeer:
            peer = self.world.get("/_tako/connect", {"Accept": "text/event-stream"})
            self.assertEqual(peer.status, 200)
            return peer

        self._check(connect)
