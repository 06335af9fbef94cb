"""What a message in many fragments costs while its end has not come.

The fragments are small or empty, as no honest client sends them.  Rule: what is
compared is the memory that Python has given out, which no other test moves.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.websocket.route import WebSocket, WebSocketConfig
from tests.codecs.websocket_reader import client_frame
from tests.streams.websocket_client import WebSocketExchange

CONFIG = WebSocketConfig(ping_interval=None)

#: Fragments that are sent, a thousand at a time.
COUNT = 20_000


async def _echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


def _grown(act: Callable[[], None]) -> int:
    """Bytes more that are held after `act` than before it."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        act()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


class FragmentsTests(SynchronousTestCase):
    """A message that does not end."""

    def setUp(self) -> None:
        self.client = WebSocketExchange(_echo, CONFIG)

    def _send(self, fragment: bytes) -> int:
        # The first of them makes what is made once.
        self.client.send(client_frame(1, b"a", fin=False), fragment)
        some = fragment * 1000

        def act() -> None:
            for _ in range(COUNT // 1000):
                self.client.send(some)
                self.client.turns()

        return _grown(act)

    def test_empty_fragments(self) -> None:
        """Fragments that hold nothing take no memory, and the message is whole."""
        self.assertLess(self._send(client_frame(0, b"", fin=False)), COUNT)
        self.client.send(client_frame(0, b"b"))
        self.assertEqual(self.client.said(), [(1, b"ab")])

    def test_small_fragments(self) -> None:
        """Fragments of two bytes take little more than what they hold."""
        self.assertLess(self._send(client_frame(0, b"bc", fin=False)), 4 * COUNT)
        self.client.send(client_frame(0, b"d"))
        self.assertEqual(self.client.said(), [(1, b"a" + b"bc" * (COUNT + 1) + b"d")])

    def test_frames_in_small_pieces(self) -> None:
        """Nor does it matter that one frame comes byte by byte."""
        payload = b"x" * 5000
        frame = client_frame(1, payload)
        self.client.send(frame[:20])

        def act() -> None:
            for byte in frame[20:-1]:
                self.client.send(bytes([byte]))

        self.assertLess(_grown(act), 3 * len(payload))
        self.client.send(frame[-1:])
        self.assertEqual(self.client.said(), [(1, payload)])
