"""The public suites' cases 1 to 7, 9 and 10, frame by frame, against an echo.

The numbers in the docstrings are those of the Autobahn test suite; the frames
are our own.  `examples/streams/echo.py` is what that suite itself can be run on.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.websocket.route import WebSocket, WebSocketConfig
from tests.codecs.websocket_reader import Frame, client_close, client_frame
from tests.streams.websocket_client import WebSocketExchange

CONFIG = WebSocketConfig(
    max_message_size=16 << 20, max_queued=1000, ping_interval=None, allowed_origins="*"
)


async def _echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


def _code(frame: Frame) -> int | None:
    return struct.unpack("!H", frame.payload[:2])[0] if len(frame.payload) >= 2 else None


class CaseTests(SynchronousTestCase):
    """What a conforming server answers."""

    def setUp(self) -> None:
        self.client = WebSocketExchange(_echo, CONFIG)

    def _again(self) -> None:
        self.client = WebSocketExchange(_echo, CONFIG)

    def _chopped(self, data: bytes, size: int) -> None:
        for start in range(0, len(data), size):
            self.client.send(data[start : start + size])

    def _answers(self, sent: Iterable[bytes], expected: list[tuple[int, bytes]]) -> None:
        self.client.send(*sent)
        self.client.turns()
        self.assertEqual(self.client.said(), expected)

    def _fails(self, code: int, *sent: bytes, first: Iterable[tuple[int, bytes]] = ()) -> None:
        """The frames `first`, then a close with `code`; and the connection ends on the answer."""
        self.client.send(*sent)
        *before, last = self.client.heard()
        self.assertEqual([(frame.opcode, frame.payload) for frame in before], list(first))
        self.assertEqual((last.opcode, _code(last)), (8, code))
        self.client.close(code)
        self.assertFalse(self.client.transport.connected)
        self.assertEqual(self.client.clock.getDelayedCalls(), [])
        self._again()

    def test_lengths(self) -> None:
        """1.1, 1.2: text and binary of each length form, whole and chopped."""
        for opcode in (1, 2):
            for length in (0, 125, 126, 127, 128, 65535, 65536):
                payload = b"*" * length
                self._answers([client_frame(opcode, payload)], [(opcode, payload)])
                self._chopped(client_frame(opcode, payload), 997)
                self.assertEqual(self.client.said(), [(opcode, payload)])

    def test_pings(self) -> None:
        """2.1 to 2.4, 2.6, 2.10, 2.11: pings of any payload, in pieces, and many."""
        for payload in (b"", b"Hello", b"\x00\xff\xfe\xfd", b"\xfe" * 125):
            self._answers([client_frame(9, payload)], [(10, payload)])
            self._chopped(client_frame(9, payload), 1)
            self.assertEqual(self.client.said(), [(10, payload)])
        many = [b"payload-%d" % number for number in range(10)]
        self._answers([client_frame(9, one) for one in many], [(10, one) for one in many])

    def test_ping_too_long(self) -> None:
        """2.5: a ping of 126 bytes is a protocol error."""
        self._fails(1002, client_frame(9, b"x" * 126))

    def test_unsolicited_pongs(self) -> None:
        """2.7 to 2.9: pongs that nobody asked for are passed over."""
        self._answers(
            [client_frame(10), client_frame(10, b"x"), client_frame(9, b"y")], [(10, b"y")]
        )

    def test_reserved_bits(self) -> None:
        """3.1 to 3.7: reserved bits fail the connection, after what was right before."""
        for rsv in range(1, 8):
            for opcode in (1, 2, 8, 9, 10):
                payload = b"" if opcode == 8 else b"x"
                self._fails(
                    1002,
                    client_frame(1, b"hello"),
                    client_frame(opcode, payload, rsv=rsv),
                    first=[(1, b"hello")],
                )

    def test_reserved_opcodes(self) -> None:
        """4.1, 4.2: reserved opcodes fail the connection, empty or not."""
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
            for payload in (b"", b"x"):
                self._fails(
                    1002,
                    client_frame(1, b"hello"),
                    client_frame(opcode, payload),
                    first=[(1, b"hello")],
                )

    def test_fragmented_control_frames(self) -> None:
        """5.1, 5.2: ping and pong cannot be in fragments."""
        for opcode in (9, 10):
            self._fails(1002, client_frame(opcode, b"a", fin=False), client_frame(0, b"b"))

    def test_fragments(self) -> None:
        """5.3 to 5.8, 5.19, 5.20: fragments are one message, with pings among them."""
        parts = [b"frag", b"", b"ment"]
        frames = [
            client_frame(1, parts[0], fin=False),
            client_frame(9, b"ping"),
            client_frame(0, parts[1], fin=False),
            client_frame(9, b"pong"),
            client_frame(0, parts[2]),
        ]
        expected = [(10, b"ping"), (10, b"pong"), (1, b"fragment")]
        self._answers(frames, expected)
        self._chopped(b"".join(frames), 1)
        self.assertEqual(self.client.said(), expected)

    def test_stray_continuations(self) -> None:
        """5.9 to 5.17: a continuation of nothing is a protocol error."""
        for fin in (True, False):
            self._fails(1002, client_frame(0, b"x", fin=fin), client_frame(1, b"hello"))
        self._fails(
            1002,
            client_frame(1, b"one"),
            client_frame(0, b"two"),
            first=[(1, b"one")],
        )

    def test_message_within_a_message(self) -> None:
        """5.18: so is a message that begins within another."""
        self._fails(1002, client_frame(1, b"a", fin=False), client_frame(1, b"b"))

    def test_valid_text(self) -> None:
        """6.1, 6.2, 6.5 to 6.7, 6.22, 6.23: valid UTF-8, cut anywhere."""
        for text in (
            "",
            "Hello-µ@ßöäüàá-UTF-8!!",
            "κόσμε",
            "\x00\x7f\x80\u07ff\u0800\uffff",
            "\ufffd\U00010000\U0010ffff",
        ):
            payload = text.encode()
            self._answers([client_frame(1, payload)], [(1, payload)])
            cut = [client_frame(1, payload[:1], fin=False)]
            cut += [client_frame(0, bytes([byte]), fin=False) for byte in payload[1:]]
            self._answers([*cut, client_frame(0)], [(1, payload)])

    def test_invalid_text(self) -> None:
        """6.3, 6.8 to 6.21: invalid UTF-8 fails with 1007, whole or in fragments."""
        for payload in (
            b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
            b"\xf8\x88\x80\x80\x80",
            b"\x80",
            b"\xbf",
            b"\xc0\xaf",
            b"\xe0\x80\xaf",
            b"\xed\xbf\xbf",
            b"\xf4\x90\x80\x80",
            b"\xfe",
            b"\xce",
            b"\xf0\x90",
        ):
            self._fails(1007, client_frame(1, payload))
            self._fails(1007, client_frame(1, payload[:1], fin=False), client_frame(0, payload[1:]))

    def test_invalid_text_fails_fast(self) -> None:
        """6.4: and does so at the byte that is wrong, not at the message's end."""
        wrong = client_frame(1, b"\xce\xba\xf4\x90\x80\x80 and more")
        self.client.send(wrong[:-9])
        self.assertEqual(self.client.closed_with(), 1007)

    def test_close_after_a_message(self) -> None:
        """7.1.1: what came before a close is answered before it."""
        self.client.send(client_frame(1, b"Hello"), client_close(1000))
        self.assertEqual(self.client.said(), [(1, b"Hello"), (8, struct.pack("!H", 1000))])
        self.assertFalse(self.client.transport.connected)

    def test_after_the_close(self) -> None:
        """7.1.2 to 7.1.5: nothing that comes after a close is answered."""
        for after in (client_close(1000), client_frame(9, b"x"), client_frame(1, b"x")):
            self.client.send(client_close(1000), after)
            self.assertEqual(self.client.said(), [(8, struct.pack("!H", 1000))])
            self._again()

    def test_close_within_a_message(self) -> None:
        """7.1.5: a close between fragments ends the message with the connection."""
        self.client.send(client_frame(1, b"a", fin=False), client_close(1000))
        self.assertEqual(self.client.said(), [(8, struct.pack("!H", 1000))])

    def test_close_payloads(self) -> None:
        """7.3: none, a code, a code and a reason up to 123 bytes; one byte and 124 are errors."""
        for payload in (b"", b"\x03\xe8", b"\x03\xe8Hello", b"\x03\xe8" + b"*" * 123):
            self._answers([client_frame(8, payload)], [(8, payload)])
            self.assertFalse(self.client.transport.connected)
            self._again()
        self._fails(1002, client_frame(8, b"\x03"))
        self._fails(1002, client_frame(8, b"\x03\xe8" + b"*" * 124))

    def test_close_reason_that_is_no_text(self) -> None:
        """7.5.1: a reason that is no UTF-8 fails with 1007."""
        self._fails(1007, client_frame(8, b"\x03\xe8\xce\xba\xed\xa0\x80"))

    def test_close_codes(self) -> None:
        """7.7, 7.13: codes that may be sent are echoed."""
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
            self._answers([client_close(code)], [(8, struct.pack("!H", code))])
            self._again()

    def test_wrong_close_codes(self) -> None:
        """7.9: codes that may not are a protocol error."""
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
            self._fails(1002, client_close(code))

    def test_lengths_in_the_wrong_form(self) -> None:
        """RFC 6455, 5.2: a length in a longer form than needed, and an unmasked frame."""
        self._fails(1002, client_frame(1, b"x", length_bytes=2))
        self._fails(1002, client_frame(1, b"x", length_bytes=8))
        self._fails(1002, client_frame(1, b"x", masked=False))

    def test_large_messages(self) -> None:
        """9.1 to 9.6: megabytes, whole, in fragments, and chopped on the wire."""
        payload = b"*" * (4 << 20)
        for opcode in (1, 2):
            whole = client_frame(opcode, payload)
            self._chopped(whole, 1 << 16)
            self.assertEqual(self.client.said(), [(opcode, payload)])
            parts = [
                payload[start : start + (1 << 18)] for start in range(0, len(payload), 1 << 18)
            ]
            self.client.send(client_frame(opcode, parts[0], fin=False))
            for part in parts[1:]:
                self.client.send(client_frame(0, part, fin=False))
            self._answers([client_frame(0)], [(opcode, payload)])

    def test_many_messages(self) -> None:
        """9.7, 9.8: a thousand messages in one write."""
        messages = [(1, b"%d" % number * 16) for number in range(1000)]
        self._answers([client_frame(*message) for message in messages], messages)

    def test_automatic_fragments(self) -> None:
        """10.1: a message in fragments of 1300 bytes comes back whole."""
        payload = b"*" * 65536
        starts = range(0, len(payload), 1300)
        frames = [
            client_frame(
                1 if start == 0 else 0, payload[start : start + 1300], fin=start == starts[-1]
            )
            for start in starts
        ]
        self._answers(frames, [(1, payload)])
