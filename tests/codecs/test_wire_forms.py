"""Wire forms: one encoding for each, whoever takes it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.codecs.wire_forms import (
    LINES_MUX,
    SSE_CHUNKED,
    SSE_MUX_CHUNKED,
    SSE_MUX_RAW,
    SSE_RAW,
    WEBSOCKET,
    WEBSOCKET_MUX,
    Encoded,
    WireForm,
)
from takotwist.core.topic import Message, Topic

MESSAGE = Message(Topic.of("chat", {"roomId": "a"}), 7, "m", b'"x"')
TEXT = b'{"id":"7","channel":"chat","type":"m","data":"x"}'


class TestWireForms(SynchronousTestCase):
    """Each form says the same message."""

    def test_one_topic(self) -> None:
        """A connection with one topic is not told the params that it asked for."""
        block = b"id: 7\ndata: " + TEXT + b"\n\n"
        self.assertEqual(SSE_RAW.encode(MESSAGE), block)
        self.assertEqual(SSE_CHUNKED.encode(MESSAGE), b"%x\r\n%b\r\n" % (len(block), block))
        self.assertEqual(WEBSOCKET.encode(MESSAGE), b"\x81" + bytes([len(TEXT)]) + TEXT)

    def test_many_topics(self) -> None:
        """A connection with many topics is told the params of each message."""
        line = LINES_MUX.encode(MESSAGE)
        self.assertIn(b'"params":{"roomId":"a"}', line)
        self.assertEqual((line.count(b"\n"), line[-1:]), (1, b"\n"))
        text = line[:-1]
        self.assertEqual(WEBSOCKET_MUX.encode(MESSAGE), b"\x81" + bytes([len(text)]) + text)
        raw = SSE_MUX_RAW.encode(MESSAGE)
        self.assertIn(b"data: " + text + b"\n\n", raw)
        self.assertEqual(SSE_MUX_CHUNKED.encode(MESSAGE), b"%x\r\n%b\r\n" % (len(raw), raw))

    def test_encoded_once(self) -> None:
        """A second connection of one form is given the frame that was made for the first."""
        calls: list[int] = []

        def encode(message: Message) -> bytes:
            calls.append(message.id)
            return b"frame"

        first, second = WireForm("first", encode), WireForm("second", encode)
        encoded = Encoded(MESSAGE)
        frames = [encoded.frame(form) for form in (first, second, first, second)]
        self.assertEqual((frames, calls), ([b"frame"] * 4, [7, 7]))
        self.assertEqual((encoded.id, encoded.size), (MESSAGE.id, MESSAGE.size))
