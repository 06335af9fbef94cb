"""The connection below a speaker: keepalive, a full socket, the order of frames."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist import Channel, define_channel
from takotwist.codecs.wire_forms import WEBSOCKET
from takotwist.errors import Overloaded
from takotwist.testing.memory_socket import BINARY
from takotwist.testing.world import World
from takotwist.transports.admission import ConnectionSlot
from takotwist.transports.wire import WebSocketWire, WireState

CHAT = "/channels/chat"


def chat() -> Channel[Any]:
    """With a handler, so that there are WebSockets."""
    channel = define_channel("chat")
    channel.on("msg")(lambda data, context: data)
    return channel


class RecordingSpeaker:
    """A speaker that notes what it is told."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.losses = 0

    def received(self, text: bytes) -> None:
        self.heard.append(text)

    def lost(self) -> None:
        self.losses += 1


class FakeConnection:
    """A WebSocket connection that notes what is done with it."""

    def __init__(self, closed: bool = False) -> None:
        self.closed = closed
        self.direct = False
        self.paused = False
        self.done: list[Any] = []
        self.on_closing: Any = None

    def write_frames(self, data: bytes) -> None:
        self.done.append(data)

    def close(self, code: int, reason: str) -> None:
        self.done.append((code, reason))

    def abort(self) -> None:
        self.done.append("abort")

    def pause_reading(self) -> None:
        self.done.append("pause")

    def resume_reading(self) -> None:
        self.done.append("resume")


class FakeUpgrade:
    """An upgrade that gives one connection, and frames that came behind the handshake."""

    def __init__(self, connection: FakeConnection | None, early: list[bytes]) -> None:
        self.connection = connection
        self.early = early
        self.callbacks: dict[str, Any] = {}

    def upgrade(self, request: Any, **callbacks: Any) -> FakeConnection | None:
        self.callbacks = callbacks
        for payload in self.early:
            callbacks["on_message"](payload, False)
        return self.connection


class TestWireStates(SynchronousTestCase):
    """The lifecycle of a wire, by its table."""

    def wire(
        self, early: tuple[bytes, ...] = (), connection: FakeConnection | None = None
    ) -> tuple[WebSocketWire, RecordingSpeaker, FakeUpgrade]:
        admission = World(chat()).parts.public.sse.admission
        wire, speaker = WebSocketWire(admission), RecordingSpeaker()
        upgrade = FakeUpgrade(connection, list(early))
        slot = ConnectionSlot("192.0.2.1", admission.sessions)
        with slot:
            anything: Any = upgrade
            wire.open(anything, anything, None, slot, "websocket", WEBSOCKET, lambda _: speaker)
        return wire, speaker, upgrade

    def test_nobody_there(self) -> None:
        """A client that goes before the answer, or with it, leaves a wire that has ended."""
        for connection in (None, FakeConnection(closed=True)):
            wire, speaker, _ = self.wire((b"early",), connection)
            self.assertIs(wire.state, WireState.ENDED)
            self.assertEqual((speaker.heard, speaker.losses), ([], 0))

    def test_early(self) -> None:
        """Frames behind the handshake reach the speaker, in order, when there is one."""
        wire, speaker, _ = self.wire((b"1", b"2"), FakeConnection())
        self.assertIs(wire.state, WireState.OPEN)
        self.assertEqual(speaker.heard, [b"1", b"2"])

    def test_left_or_lost(self) -> None:
        """Only a clean close with 1000 or 1001 is a client that left."""
        for code, clean, state in (
            (1000, True, WireState.LEFT),
            (1001, True, WireState.LEFT),
            (1000, False, WireState.ENDED),
            (1006, False, WireState.ENDED),
            (1011, True, WireState.ENDED),
        ):
            wire, speaker, upgrade = self.wire((), FakeConnection())
            upgrade.callbacks["on_closed"](code, "", clean)
            self.assertIs(wire.state, state)
            self.assertEqual(wire.left, state is WireState.LEFT)
            self.assertEqual((speaker.losses, wire.session.closed), (1, True))

    def test_final(self) -> None:
        """After its end nothing reaches the speaker or the connection, and the end stays as it
        was: the client's answer to our close is no leaving."""
        connection = FakeConnection()
        wire, speaker, upgrade = self.wire((), connection)
        wire.end(Overloaded())
        done = list(connection.done)
        self.assertEqual(done[-1], (Overloaded.close_code, Overloaded.code))
        upgrade.callbacks["on_message"](b"late", False)
        upgrade.callbacks["on_closed"](1000, "", True)
        wire.send(b"{}")
        wire.send_binary(b"x")
        wire.hold(True)
        wire.hold(False)
        wire.abort("again")
        wire.end(None)
        self.assertIs(wire.state, WireState.ENDED)
        self.assertFalse(wire.left)
        self.assertEqual((speaker.heard, speaker.losses, connection.done), ([], 1, done))
        self.assertEqual(wire._early, [])

    def test_ended_by_its_speaker(self) -> None:
        """A speaker that ends the wire while it is made is not kept, and hears nothing."""
        connection = FakeConnection()
        admission = World(chat()).parts.public.sse.admission
        wire, speaker = WebSocketWire(admission), RecordingSpeaker()
        upgrade: Any = FakeUpgrade(connection, [b"early"])

        def make(wire: WebSocketWire) -> RecordingSpeaker:
            wire.end(Overloaded())
            return speaker

        with ConnectionSlot("192.0.2.1", admission.sessions) as slot:
            wire.open(upgrade, upgrade, None, slot, "websocket", WEBSOCKET, make)
        self.assertIs(wire.state, WireState.ENDED)
        self.assertIsNot(wire.speaker, speaker)
        self.assertEqual((speaker.heard, wire._early), ([], []))

    def test_held(self) -> None:
        """The connection is read on when the last that held it lets go."""
        connection = FakeConnection()
        wire, _, _ = self.wire((), connection)
        for full in (True, True, False):
            wire.hold(full)
        self.assertEqual(connection.done, ["pause"])
        wire.hold(False)
        self.assertEqual(connection.done, ["pause", "resume"])


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
