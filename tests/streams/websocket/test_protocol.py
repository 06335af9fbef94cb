"""The parser of a WebSocket connection: in turns, in little memory, and what it does at an end.

What memory a message in many fragments takes is compared by what Python has given out, which no
other test moves.  The fragments are small or empty, as no honest client sends them.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.websocket.config import Deflate
from takotwist.streams.websocket.protocol import STEP_BYTES, STEPS_A_TURN
from takotwist.streams.websocket.route import WebSocket, WebSocketConfig
from tests.codecs.websocket_reader import client_close, client_frame
from tests.streams.exchange import run_due
from tests.streams.websocket.test_upgrade import _Upgraded
from tests.streams.websocket_client import WebSocketExchange, deflated

CONFIG = WebSocketConfig(ping_interval=None)

FRAMES = [client_frame(1, b"%d" % number) for number in range(1000)]
TOLD: list[Any] = [(b"%d" % number, False) for number in range(1000)]


class TurnTests(SynchronousTestCase):
    """One client that sends thousands of small frames keeps nobody else waiting."""

    def setUp(self) -> None:
        self.client = _Upgraded()

    def _turns(self) -> int:
        turns = 0
        while self.client.clock.getDelayedCalls():
            before = len(self.client.told)
            run_due(self.client.clock)
            self.assertLessEqual(len(self.client.told) - before, STEPS_A_TURN)
            turns += 1
        return turns

    def test_in_turns(self) -> None:
        """Frames of one read are taken a part at a time, in order, and none is read meanwhile."""
        self.client.send(*FRAMES)
        self.assertLessEqual(len(self.client.told), STEPS_A_TURN)
        self.assertFalse(self.client.transport.reading)
        self.assertGreater(self._turns(), 5)
        self.assertEqual(self.client.told, TOLD)
        self.assertTrue(self.client.transport.reading)

    def test_few(self) -> None:
        """A few frames are taken at once, without a turn."""
        self.client.send(*FRAMES[:20])
        self.assertEqual(self.client.told, TOLD[:20])
        self.assertEqual(self.client.clock.getDelayedCalls(), [])

    def test_large(self) -> None:
        """Large messages are many steps each, as they may have come in few bytes."""
        large = b"x" * (STEPS_A_TURN * STEP_BYTES // 2)
        self.client.send(*[client_frame(1, large)] * 6)
        self.assertEqual(len(self.client.told), 2)
        self.assertEqual(self._turns(), 2)
        self.assertEqual(self.client.told, [(large, False)] * 6)

    def test_more_comes(self) -> None:
        """What comes meanwhile all the same is behind what is there, and no more is read."""
        self.client.send(*FRAMES[:500])
        self.client.transport.resumeProducing()
        self.client.send(*FRAMES[500:])
        self.assertFalse(self.client.transport.reading)
        self._turns()
        self.assertEqual(self.client.told, TOLD)

    def test_closed_behind(self) -> None:
        """A close behind many frames comes behind them."""
        self.client.send(*FRAMES, client_close(1000, b"bye"))
        self._turns()
        self.assertEqual(self.client.told, [*TOLD, (1000, "bye", True)])

    def test_gone_behind(self) -> None:
        """A client that has sent many and goes is taken at its word first."""
        self.client.send(*FRAMES)
        self.client.transport.hang_up()
        self._turns()
        self.assertEqual(self.client.told, [*TOLD, (1006, "", False)])

    def test_dropped_by_us(self) -> None:
        """What the server drops is over at once, whatever of it is left."""
        self.client.send(*FRAMES)
        told = len(self.client.told)
        self.client.ws.abort()
        self.assertEqual(self.client.told[told:], [(1006, "", False)])
        self.assertEqual(self.client.clock.getDelayedCalls(), [])

    def test_reading_is_paused(self) -> None:
        """Who paused reading himself stays the one who resumes it."""
        self.client.send(*FRAMES)
        self.client.ws.pause_reading()
        self._turns()
        self.assertFalse(self.client.transport.reading)
        self.client.ws.resume_reading()
        self.assertTrue(self.client.transport.reading)

    def test_bad_frame_in_a_later_turn(self) -> None:
        """A violation is found where it stands, and ends the connection there."""
        self.client.send(*FRAMES, client_frame(3, b""), *FRAMES)
        self._turns_until_closed()
        self.assertEqual(self.client.told[: len(TOLD)], TOLD)
        self.assertEqual(self.client.closed_with(), 1002)

    def _turns_until_closed(self) -> None:
        for _ in range(100):
            run_due(self.client.clock)


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


class EndTests(SynchronousTestCase):
    """How a connection ends, and what is told of it."""

    def test_codes(self) -> None:
        """The client's own code; 1005 where its close has none; 1006 where it has not closed."""
        for act, end in (
            (lambda client: client.close(4000, b"bye"), (4000, "bye", True)),
            (lambda client: client.close(None), (1005, "", True)),
            (lambda client: client.transport.hang_up(), (1006, "", False)),
        ):
            client = _Upgraded()
            act(client)
            self.assertEqual(client.told, [end])

    def test_no_reset(self) -> None:
        """After a close that we began the transport is closed, not aborted: a reset may overtake
        what the client has yet to read."""
        client = _Upgraded()
        client.ws.close(1000)
        client.close(1000)
        self.assertFalse(client.transport.connected)
        self.assertFalse(client.transport.aborted)

    def test_passed_over(self) -> None:
        """Behind what was wrong nothing is told, whole or begun, and the client's close is found;
        pings are not answered any more."""
        client = _Upgraded()
        client.send(
            client_frame(1, b"good"),
            client_frame(1, b"\xff"),
            client_frame(1, b"late"),
            client_frame(1, b"la", fin=False),
            client_frame(0, b"te"),
            client_frame(9, b"ping"),
        )
        self.assertEqual(client.told, [(b"good", False)])
        [frame] = client.heard()
        self.assertEqual((frame.opcode, frame.payload[:2]), (8, (1007).to_bytes(2, "big")))
        self.assertTrue(client.transport.connected)
        client.close(1007)
        self.assertFalse(client.transport.connected)
        self.assertEqual(client.told[1:], [(1007, "", True)])

    def test_within_what_is_wrong(self) -> None:
        """Also where the frame that is wrong is not whole yet."""
        client = _Upgraded()
        frame = client_frame(1, b"\xff" + b"x" * 1000)
        client.send(frame[:500])
        self.assertEqual(client.closed_with(), 1007)
        client.send(frame[500:], client_close(1007))
        self.assertEqual(client.told, [(1007, "", True)])


class SizeTests(SynchronousTestCase):
    """The largest message."""

    def test_bound(self) -> None:
        """At the bound a message is taken; past it none of it is, however it comes."""
        config = WebSocketConfig(max_frame_size=1000, max_message_size=1000, deflate=Deflate())
        offer = "Sec-WebSocket-Extensions: permessage-deflate"
        ways: dict[str, Callable[[bytes], bytes]] = {
            "whole": lambda data: client_frame(1, data),
            "in fragments": lambda data: (
                client_frame(1, data[:600], fin=False) + client_frame(0, data[600:])
            ),
            "compressed": lambda data: client_frame(1, deflated(data), rsv=4),
        }
        for name, frames in ways.items():
            with self.subTest(name):
                client = _Upgraded(config, offer)
                client.send(frames(b"x" * 1000))
                self.assertEqual(client.told, [(b"x" * 1000, False)])
                client.send(frames(b"x" * 1001))
                [close] = client.heard()
                self.assertEqual(close.payload[:2], (1009).to_bytes(2, "big"))
                self.assertEqual(len(client.told), 1)

    def test_compressed_from(self) -> None:
        """What is short is not compressed, and nothing is where it was not agreed."""
        config = WebSocketConfig(deflate=Deflate(compress_from=100))
        for lines, expected in (
            (("Sec-WebSocket-Extensions: permessage-deflate",), [0, 4]),
            ((), [0, 0]),
        ):
            client = _Upgraded(config, *lines)
            for size in (99, 100):
                client.ws.send_text(b"x" * size)
            self.assertEqual([frame.rsv for frame in client.heard()], expected)
