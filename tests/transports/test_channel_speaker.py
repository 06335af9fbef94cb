"""One channel on a WebSocket: what is said to whom in which dialect."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist import Channel, Grant, define_channel
from takotwist.testing.world import World

CHAT, CLUB = "/channels/chat", "/channels/club"


def channels() -> list[Channel[Any]]:
    """One that anybody may use, and one that asks for a token; both have handlers."""
    chat, club = define_channel("chat"), define_channel("club")
    for one in (chat, club):
        one.on("msg")(lambda data, context: data)
    club.verify(header="authorization")(
        lambda request: Grant(subject="m") if request.header.value == "member" else False
    )
    return [chat, club]


class TestChannelSpeaker(SynchronousTestCase):
    """Both dialects."""

    def setUp(self) -> None:
        self.world = World(*channels())

    def test_explicit(self) -> None:
        """In ``tako.v1`` it is said where we stand, and what carries a ref is answered."""
        socket = self.world.connect(CHAT, subprotocol="tako.v1")
        self.assertEqual(socket.ops[0]["op"], "open")
        socket.say({"type": "msg", "data": 1, "ref": 7})
        socket.say({"op": "ping", "ref": 8})
        self.world.advance(0.1)
        answers = {one["op"]: one for one in socket.ops[1:]}
        self.assertEqual(answers["ack"]["ref"], 7)
        self.assertEqual(answers["ack"]["id"], socket.messages[0]["id"])
        self.assertEqual(answers["pong"]["ref"], 8)

    def test_plain(self) -> None:
        """In the plain dialect there are messages and nothing else; a bad frame is dropped."""
        socket = self.world.connect(CHAT)
        socket.say("no JSON")
        socket.say({"type": "msg", "data": 1})
        self.world.advance(0.1)
        self.assertEqual(socket.ops, [])
        self.assertEqual([one["data"] for one in socket.messages], [1])
        self.assertIsNone(socket.close_reason)

    def test_foreign_cursor(self) -> None:
        """A cursor that was never given out is refused, or a reset where that was asked for."""
        for cursor in ("abc", "9007199254740991"):
            refused = self.world.connect(f"{CHAT}?last_message_id={cursor}", subprotocol="tako.v1")
            self.assertEqual(refused.close_reason, (4400, "cursor-invalid"))
            target = f"{CHAT}?last_message_id={cursor}&stale=reset"
            opened, reset = self.world.connect(target, subprotocol="tako.v1").ops
            said = {"op": "reset", "reason": "cursor-invalid", "cursor": opened["cursor"]}
            self.assertEqual(reset, said)

    def test_foreign_cursor_in_the_auth_frame(self) -> None:
        """There it is a malformed frame, or a reset where the address asks for one."""
        frame = {"type": "tako.auth", "token": "Bearer member", "lastMessageId": "abc"}
        refused = self.world.connect(CLUB, subprotocol="tako.v1")
        refused.say(frame)
        self.assertEqual(refused.close_reason, (4400, "auth-frame-malformed"))
        anew = self.world.connect(f"{CLUB}?stale=reset", subprotocol="tako.v1")
        anew.say(frame)
        self.assertEqual([one["op"] for one in anew.ops], ["open", "reset"])
        self.assertEqual(anew.ops[1]["reason"], "cursor-invalid")

    def test_bad_frame(self) -> None:
        """In ``tako.v1`` a bad frame is answered, and the connection stays."""
        socket = self.world.connect(CHAT, subprotocol="tako.v1")
        socket.say({"op": "subscribe", "ref": 1, "channel": "chat"})
        self.assertEqual(socket.ops[-1]["code"], "body-invalid")
        self.assertIsNone(socket.close_reason)

    def test_credentials_in_first_frame(self) -> None:
        """Credentials may come in the first frame; without them nothing is followed."""
        socket = self.world.connect(CLUB, subprotocol="tako.v1")
        self.assertEqual(socket.frames, [])
        socket.say({"type": "tako.auth", "token": "member"})
        self.assertEqual(socket.ops[0]["op"], "open")
        wrong = self.world.connect(CLUB)
        wrong.say({"type": "tako.auth", "token": "stranger"})
        self.assertEqual(wrong.close_reason, (4403, "verify-rejected"))

    def test_credentials_do_not_come(self) -> None:
        """Who is silent or says something else is closed with the reason."""
        silent, other = self.world.connect(CLUB), self.world.connect(CLUB)
        other.say({"type": "msg", "data": 1})
        self.assertEqual(other.close_reason, (4400, "auth-frame-malformed"))
        self.world.advance(4.9)
        self.assertIsNone(silent.close_reason)
        self.world.advance(0.3)
        self.assertEqual(silent.close_reason, (4401, "auth-frame-missing"))
