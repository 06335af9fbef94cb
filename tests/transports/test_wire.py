"""The connection below a speaker: keepalive, a full socket, the order of frames."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist import Channel, define_channel
from takotwist.testing.memory_socket import BINARY
from takotwist.testing.world import World

CHAT = "/channels/chat"


def chat() -> Channel[Any]:
    """With a handler, so that there are WebSockets."""
    channel = define_channel("chat")
    channel.on("msg")(lambda data, context: data)
    return channel


class TestWire(SynchronousTestCase):
    """The connection below the speaker."""

    def setUp(self) -> None:
        self.world = World(chat())

    def test_keepalive(self) -> None:
        """A peer that answers pings stays; one that does not is dropped after two intervals."""
        here, gone = self.world.connect(CHAT), self.world.connect(CHAT)
        for _ in range(4):
            self.world.advance(20)
            here.pong()
        self.assertGreater(here.pings, 1)
        self.assertEqual(len(self.world.parts.sessions), 1)
        self.assertIsNone(gone.close_reason)

    def test_binary(self) -> None:
        """A binary frame is closed with what is wrong with it."""
        socket = self.world.connect(CHAT)
        socket.send_frame(BINARY, b"x")
        self.assertEqual(socket.close_reason, (1003, "text-frames-only"))

    def test_nothing_behind_a_close(self) -> None:
        """Who is told that its frame was wrong is sent no message behind that close, though it
        has not hung up yet (RFC 6455, section 5.5.1)."""
        socket = self.world.connect(CHAT)
        socket.send_frame(3, b"x")
        self.world.publish(CHAT, "msg", 1)
        self.world.advance(0.1)
        assert socket.close_reason is not None
        self.assertEqual(socket.close_reason[0], 1002)
        self.assertEqual(socket.messages, [])

    def test_slow_reader(self) -> None:
        """While its socket is full nothing waits for it; then it gets what it missed."""
        socket = self.world.connect(CHAT)
        socket.stop_reading()
        sent = [self.world.publish(CHAT, "msg", n) for n in range(3)]
        self.world.advance(0.1)
        self.assertEqual(socket.messages, [])
        socket.read_on()
        self.world.advance(0.1)
        self.assertEqual(socket.messages, sent)

    def test_order(self) -> None:
        """What is pushed before a control frame is read before it."""
        socket = self.world.connect(CHAT, subprotocol="tako.v1")
        message = self.world.publish(CHAT, "msg", 1)
        socket.say({"op": "ping", "ref": 1})
        self.world.advance(0.1)
        self.assertEqual(socket.frames[1], message)
        self.assertEqual(socket.frames[2]["op"], "pong")
