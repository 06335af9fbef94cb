"""Little that is sent and much that it says: a compressed bomb against a WebSocket.

Rule: what is measured is the peak, since what was taken is given back at once.
"""

from __future__ import annotations

import tracemalloc

from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.websocket import Deflate, WebSocket, WebSocketConfig
from tests.codecs.websocket_reader import client_frame
from tests.faults.seen import say
from tests.streams.websocket_client import WebSocketExchange, deflated

MIB = 1 << 20

OFFER = "Sec-WebSocket-Extensions: permessage-deflate"


class BombTests(SynchronousTestCase):
    """50 MB of zeros, deflated to a thousandth, where a message may have 1 MiB."""

    def test_bomb(self) -> None:
        """It ends with 1009, in one frame and in many, and is never held unpacked."""
        bomb = deflated(bytes(50_000_000))
        for pieces in (1, 10):
            taken: list[object] = []

            async def handler(ws: WebSocket, taken: list[object] = taken) -> None:
                async for message in ws:
                    taken.append(message)

            config = WebSocketConfig(
                ping_interval=None, deflate=Deflate(), max_message_size=MIB, max_frame_size=MIB
            )
            client = WebSocketExchange(handler, config, OFFER)
            self.assertIn("permessage-deflate", client.head[1]["sec-websocket-extensions"])
            size = -(-len(bomb) // pieces)
            frames = [
                client_frame(
                    0 if start else 2,
                    bomb[start : start + size],
                    rsv=0 if start else 4,
                    fin=start + size >= len(bomb),
                )
                for start in range(0, len(bomb), size)
            ]
            tracemalloc.start()
            try:
                client.send(*frames)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            say(
                f"50 MB in {len(bomb)} bytes, {pieces} frames",
                f"{peak / MIB:.1f} MiB at the most",
            )
            self.assertEqual(client.closed_with(), 1009)
            self.assertEqual(taken, [])
            self.assertLess(peak, 6 * MIB)
