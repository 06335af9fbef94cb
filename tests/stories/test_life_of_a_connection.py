"""How long a connection lives, and what keeps it alive or ends it."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist import Channel, Grant, VerifyRequest, define_channel
from takotwist.testing.world import BEGINNING, World

ROOM = "/channels/club?roomId=a"


def club(**lifecycle: Any) -> Channel[Any]:
    """A channel whose members are let in until a time that their token names."""
    params = {"type": "object", "properties": {"roomId": {"type": "string"}}}
    channel = define_channel("club", params=params, **lifecycle)

    @channel.verify(header="authorization", query_token=True)
    def verify(request: VerifyRequest[Any]) -> Grant | bool:
        value = request.header.value if request.header else ""
        who, _, seconds = value.partition(" for ")
        if who != "member":
            return False
        return Grant(subject="m1", expires_at=BEGINNING + float(seconds) if seconds else None)

    @channel.on("msg")
    def said(data: Any, context: Any) -> Any:
        return {"by": context.subject, "said": data}

    return channel


MEMBER = {"Authorization": "Bearer member"}


class KeepaliveTests(SynchronousTestCase):
    """Signs of life."""

    def test_comments(self) -> None:
        """An idle event stream gets a comment each interval; one that is written to, none."""
        world = World(club(keepalive_interval=10))
        reader = world.subscribe(ROOM, MEMBER)
        world.advance(9)
        self.assertEqual(reader.comments, 0)
        world.publish(ROOM, "msg", 1)
        world.advance(9)
        self.assertEqual(reader.comments, 0)
        world.advance(2)
        self.assertEqual(reader.comments, 1)
        world.advance(50)
        self.assertEqual(reader.comments, 6)
        self.assertFalse(reader.ended)

    def test_pings_answered(self) -> None:
        """A peer that answers its pings stays for ever."""
        world = World(club(keepalive_interval=10, max_connection_lifetime=0))
        socket = world.connect(ROOM, MEMBER)
        for _ in range(100):
            world.advance(10)
            socket.pong()
        self.assertGreaterEqual(socket.pings, 99)
        self.assertFalse(socket.closed)

    def test_pings_not_answered(self) -> None:
        """A peer that answers none for two intervals is dropped, and its place given back."""
        world = World(club(keepalive_interval=10))
        sockets = [
            world.connect(ROOM, MEMBER),
            world.connect(ROOM, MEMBER, subprotocol="tako.v1"),
        ]
        world.advance(19)
        self.assertEqual([socket.closed for socket in sockets], [False, False])
        world.advance(12)
        self.assertEqual([socket.closed for socket in sockets], [True, True])
        self.assertEqual(len(world.parts.sessions), 0)
        self.assertEqual(world.parts.limits.open, 0)

    def test_lifetime(self) -> None:
        """After its lifetime a stream ends whole and a WebSocket closes with 1000."""
        world = World(club(max_connection_lifetime=100), random=0.0)
        reader, socket = world.subscribe(ROOM, MEMBER), world.connect(ROOM, MEMBER)
        for _ in range(9):
            world.advance(11)
            socket.pong()
        self.assertFalse(reader.ended or socket.close_reason)
        world.advance(2)
        self.assertTrue(reader.ended)
        self.assertEqual(socket.close_reason, (1000, "connection expired"))

    def test_lifetime_is_spread(self) -> None:
        """Lifetimes differ by up to a tenth, so that clients do not all return at once."""
        world = World(club(max_connection_lifetime=100), random=0.99)
        reader = world.subscribe(ROOM, MEMBER)
        world.advance(89)
        self.assertFalse(reader.ended)
        world.advance(2)
        self.assertTrue(reader.ended)

    def test_resumed_after_its_lifetime(self) -> None:
        """Who comes back with the cursor of the ended stream misses nothing."""
        world = World(club(max_connection_lifetime=100))
        reader = world.subscribe(ROOM, MEMBER)
        world.advance(101)
        self.assertTrue(reader.ended)
        message = world.publish(ROOM, "msg", "meanwhile")
        again = world.subscribe(ROOM, {**MEMBER, "Last-Event-ID": reader.cursor})
        self.assertEqual(again.messages, [message])


class CredentialTests(SynchronousTestCase):
    """Where credentials come from, and how long they hold."""

    def setUp(self) -> None:
        self.world = World(club())

    def auth(self, value: str, **more: Any) -> dict[str, Any]:
        return {"type": "tako.auth", "token": f"Bearer {value}", **more}

    def test_query_token(self) -> None:
        """``access_token`` stands for the header where the channel allows it."""
        self.assertEqual(self.world.get(f"{ROOM}&access_token=member").status, 200)
        self.assertEqual(self.world.get(f"{ROOM}&access_token=x").code, "verify-rejected")

    def test_query_token_not_allowed(self) -> None:
        """Elsewhere it is no credential, and no param either."""
        channel = define_channel("strict")
        channel.verify(header="authorization")(lambda request: True)
        world = World(channel)
        self.assertEqual(world.get("/channels/strict?access_token=x").code, "credentials-missing")

    def test_auth_frame(self) -> None:
        """A first frame brings what the upgrade could not; before it nothing is sent."""
        first = self.world.publish(ROOM, "msg", 1)
        second = self.world.publish(ROOM, "msg", 2)
        for cursor in (first["id"], int(first["id"])):
            socket = self.world.connect(f"{ROOM}&last_message_id=0")
            self.assertEqual(socket.frames, [])
            # The frame's cursor wins over the query's.
            socket.say(self.auth("member", lastMessageId=cursor))
            self.assertEqual(socket.messages, [second])

    def test_auth_frame_without_cursor(self) -> None:
        """Where the frame names no cursor, the query's holds."""
        message = self.world.publish(ROOM, "msg", 1)
        socket = self.world.connect(f"{ROOM}&last_message_id=0")
        socket.say(self.auth("member"))
        self.assertEqual(socket.messages, [message])

    def test_auth_frame_missing(self) -> None:
        """Five seconds are given, not more."""
        socket = self.world.connect(ROOM)
        self.world.advance(4.75)
        self.assertIsNone(socket.close_reason)
        self.world.advance(0.5)
        self.assertEqual(socket.close_reason, (4401, "auth-frame-missing"))

    def test_expired(self) -> None:
        """When the grant's time has passed, a WebSocket closes with 4401 and a stream ends."""
        header = {"Authorization": "Bearer member for 60"}
        socket, reader = self.world.connect(ROOM, header), self.world.subscribe(ROOM, header)
        self.world.advance(59)
        self.assertIsNone(socket.close_reason)
        self.world.advance(1.5)
        self.assertEqual(socket.close_reason, (4401, "credentials-expired"))
        self.assertTrue(reader.ended)

    def test_refreshed(self) -> None:
        """A later auth frame with fresh credentials keeps the connection."""
        socket = self.world.connect(ROOM, {"Authorization": "Bearer member for 20"})
        self.world.advance(10)
        socket.say(self.auth("member for 40"))
        self.world.advance(20)
        self.assertIsNone(socket.close_reason)
        message = self.world.publish(ROOM, "msg", "still here")
        self.assertEqual(socket.messages, [message])
        self.world.advance(11)
        self.assertEqual(socket.close_reason, (4401, "credentials-expired"))

    def test_refreshed_badly(self) -> None:
        """Credentials that are refused end the connection at once."""
        socket = self.world.connect(ROOM, MEMBER)
        socket.say(self.auth("stranger"))
        self.assertEqual(socket.close_reason, (4403, "verify-rejected"))

    def test_cookie_as_the_app_set_it(self) -> None:
        """`verify` gets a cookie without the quotes of the wire, and the first of its name."""
        seen: list[str | None] = []
        baked = define_channel("baked")
        baked.verify(cookie="sid")(lambda request: seen.append(request.cookie) or True)
        baked.on("msg")(lambda data, context: data)
        world = World(baked)
        header = {"Cookie": r'sid="YWJj==\054\""; other=1; sid=second'}
        world.subscribe("/channels/baked", header)
        world.connect("/channels/baked", header)
        mux = world.connect("/_tako/connect", header, subprotocol="tako.v1")
        mux.say({"op": "subscribe", "channel": "baked"})
        self.assertEqual(seen, ['YWJj==,"'] * 3)

    def test_subject(self) -> None:
        """A handler knows who sent a frame; the sender sees what was made of it."""
        socket = self.world.connect(ROOM, MEMBER)
        socket.say({"type": "msg", "data": "hi"})
        self.assertEqual(socket.messages[0]["data"], {"by": "m1", "said": "hi"})


class StopTests(SynchronousTestCase):
    """The calm stop."""

    def test_everybody(self) -> None:
        """Streams end whole, WebSockets close with 1001, and nobody new is let in."""
        world = World(club())
        reader, socket = world.subscribe(ROOM, MEMBER), world.connect(ROOM, MEMBER)
        stopping = world.stop()
        world.advance(11)
        self.successResultOf(stopping)
        self.assertTrue(reader.ended)
        self.assertEqual(socket.close_reason, (1001, "shutting-down"))
        late = world.get(ROOM, MEMBER)
        self.assertEqual((late.status, late.code), (503, "shutting-down"))
        self.assertIn("retry-after", late.headers)
