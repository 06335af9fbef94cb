"""What happens at each bound: a clear answer, and room again when somebody leaves."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist import Channel, Grant, define_channel
from takotwist.server.config import Config
from takotwist.server.config.limits import Limits
from takotwist.server.config.listeners import Http
from takotwist.server.config.sections import Publish
from takotwist.testing.world import World

KEY = "a-publish-key-of-these-stories"
BEARER = {"Authorization": f"Bearer {KEY}"}
MSG = {"type": "msg", "data": "hi"}


def chat() -> Channel[Any]:
    """A public channel with rooms and a handler."""
    params = {"type": "object", "properties": {"roomId": {"type": "string"}}}
    channel = define_channel("chat", params=params)
    channel.on("msg")(lambda data, context: data)
    return channel


def club() -> Channel[Any]:
    """A channel that believes whatever name it is told."""
    channel = define_channel("club")
    channel.verify(header="x-user")(lambda request: Grant(subject=request.header.value))
    channel.on("msg")(lambda data, context: data)
    return channel


def world(**limits: Any) -> World:
    """A world of both channels."""
    return World(
        chat(),
        club(),
        config=Config(limits=Limits(**limits), publish=Publish(keys=(KEY,), rate=1.0, burst=2)),
    )


class LimitTests(SynchronousTestCase):
    """Each limit of the configuration."""

    def test_connections(self) -> None:
        """One connection too many is told 503 and 1013, whatever its kind; a place that
        became free is given again."""
        full = world(max_connections=2)
        first, _second = full.subscribe("/channels/chat"), full.connect("/channels/chat")
        refused = full.subscribe("/channels/chat")
        self.assertEqual((refused.status, refused.code), (503, "overloaded"))
        self.assertIn("retry-after", refused.headers)
        self.assertEqual(full.connect("/channels/chat").status, 503)
        for target in ("/channels/chat", "/_tako/connect"):
            socket = full.connect(target, subprotocol="tako.v1")
            self.assertEqual(socket.close_reason, (1013, "overloaded"))
        # Requests that end at once need no place.
        self.assertEqual(full.get("/channels/chat/history").status, 200)
        first.leave()
        self.assertEqual(full.subscribe("/channels/chat").status, 200)

    def test_connections_of_an_address(self) -> None:
        """One address has its own bound, and others are not touched by it."""
        limited = world(max_connections_per_address=1)
        first = limited.subscribe("/channels/chat")
        self.assertEqual(limited.subscribe("/channels/chat").code, "rate-limited")
        socket = limited.connect("/channels/chat", subprotocol="tako.v1")
        self.assertEqual(socket.close_reason, (4429, "rate-limited"))
        self.assertEqual(limited.subscribe("/channels/chat", address="192.0.2.9").status, 200)
        first.leave()
        self.assertEqual(limited.subscribe("/channels/chat").status, 200)

    def test_connections_of_a_subject(self) -> None:
        """One subject has its own bound, whichever its addresses."""
        limited = world(max_connections_per_subject=1)
        ann, bob = {"X-User": "ann"}, {"X-User": "bob"}
        first = limited.subscribe("/channels/club", ann)
        refused = limited.subscribe("/channels/club", ann, address="192.0.2.9")
        self.assertEqual((refused.status, refused.code), (429, "rate-limited"))
        socket = limited.connect("/channels/club", ann)
        self.assertEqual(socket.close_reason, (4429, "rate-limited"))
        self.assertEqual(limited.subscribe("/channels/club", bob).status, 200)
        first.leave()
        self.assertEqual(limited.subscribe("/channels/club", ann).status, 200)
        # Whoever was refused has left nothing behind.
        self.assertEqual(limited.parts.limits.open, len(limited.parts.sessions))

    def test_subscriptions(self) -> None:
        """One topic too many is refused, and the connection and its topics go on."""
        limited = world(max_subscriptions_per_connection=2)
        socket = limited.connect("/_tako/connect", subprotocol="tako.v1")
        for room in "abc":
            subscribe = {"op": "subscribe", "ref": room, "channel": "chat"}
            socket.say({**subscribe, "params": {"roomId": room}})
        answers = {one["ref"]: one.get("code", one["op"]) for one in socket.ops[1:]}
        self.assertEqual(answers, {"a": "ack", "b": "ack", "c": "rate-limited"})
        limited.publish("/channels/chat?roomId=b", "msg", 1)
        self.assertEqual(len(socket.messages), 1)
        socket.say({"op": "unsubscribe", "channel": "chat", "params": {"roomId": "a"}})
        socket.say({"op": "subscribe", "ref": "d", "channel": "chat", "params": {"roomId": "c"}})
        self.assertEqual((socket.ops[-1]["op"], socket.ops[-1]["ref"]), ("ack", "d"))

    def test_connect_rate(self) -> None:
        """Connections of one address that come too fast are told when to come again."""
        limited = world(connect_rate=1.0, connect_burst=2)
        for _ in range(2):
            limited.subscribe("/channels/chat").leave()
        refused = limited.subscribe("/channels/chat")
        self.assertEqual((refused.status, refused.code), (429, "rate-limited"))
        self.assertEqual(refused.headers["retry-after"], "1")
        limited.advance(1)
        self.assertEqual(limited.subscribe("/channels/chat").status, 200)

    def test_publish_rate_of_clients(self) -> None:
        """Frames that come too fast end a plain WebSocket; with tako.v1 they are answered."""
        limited = world(publish_rate=1.0, publish_burst=2)
        socket = limited.connect("/channels/chat", subprotocol="tako.v1")
        for ref in range(3):
            socket.say({**MSG, "ref": ref})
        told = {one["ref"]: one for one in socket.ops if "ref" in one}
        self.assertEqual([told[ref]["op"] for ref in range(3)], ["ack", "ack", "error"])
        self.assertEqual(told[2]["code"], "rate-limited")
        limited.advance(told[2]["retryAfterMs"] / 1000)
        socket.say({**MSG, "ref": 3})
        self.assertEqual(socket.ops[-1]["op"], "ack")
        plain = limited.connect("/channels/chat")
        plain.say(MSG)
        self.assertEqual(plain.close_reason, (4429, "rate-limited"))

    def test_flood(self) -> None:
        """A thousand refusals within ten seconds end a connection, though one frame of a hundred
        is taken; as many in a longer time do not."""
        for seconds, ends in ((0.01, True), (0.02, False)):
            for path in ("/channels/chat", "/_tako/connect"):
                limited = world(publish_rate=1.0, publish_burst=2)
                socket = limited.connect(path, subprotocol="tako.v1")
                for _ in range(25):
                    for ref in range(50):
                        socket.say({"op": "nothing", "ref": ref})
                    limited.advance(50 * seconds)
                told = [one["code"] for one in socket.ops if one["op"] == "error"]
                self.assertLess(10, told.count("body-invalid"))
                self.assertEqual(told.count("rate-limited") <= 1000, ends)
                self.assertEqual(socket.close_reason == (4429, "rate-limited"), ends)

    def test_publish_rate_of_a_key(self) -> None:
        """A configured rate of publishes holds for the key, and not on the private listener."""
        limited = world()
        statuses = [limited.request("POST", "/channels/chat", BEARER, MSG).status for _ in range(3)]
        self.assertEqual(statuses, [200, 200, 429])
        limited.publish("/channels/chat", "msg", "as much as it likes")
        limited.advance(1)
        answer = limited.request("POST", "/channels/chat", BEARER, MSG)
        self.assertEqual(answer.status, 200)

    def test_message_size(self) -> None:
        """A message over its bound is refused: 413, an error, a close with 1009."""
        limited = world(max_message_bytes=1000)
        large = {"type": "msg", "data": "x" * 1100}
        self.assertEqual(limited.request("POST", "/channels/chat", BEARER, large).status, 413)
        explicit = limited.connect("/channels/chat", subprotocol="tako.v1")
        explicit.say({**large, "ref": 1})
        self.assertEqual(explicit.ops[-1]["code"], "message-too-large")
        explicit.say({**MSG, "ref": 2})
        self.assertEqual(explicit.ops[-1]["op"], "ack")
        plain = limited.connect("/channels/chat")
        plain.say(large)
        self.assertEqual(plain.close_reason, (1009, "message-too-large"))


class OriginTests(SynchronousTestCase):
    """What pages of other origins may do."""

    def setUp(self) -> None:
        origins = ("https://app.example",)
        self.world = World(chat(), club(), config=Config(http=Http(allowed_origins=origins)))

    def test_preflight(self) -> None:
        """A page that may use the server is told so before it asks, its header included."""
        page = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
        answer = self.world.request("OPTIONS", "/channels/club", page)
        self.assertEqual(answer.status, 204)
        self.assertEqual(answer.headers["access-control-allow-origin"], "https://app.example")
        self.assertEqual(answer.headers["access-control-allow-credentials"], "true")
        self.assertIn("x-user", answer.headers["access-control-allow-headers"])
        self.assertIn("POST", answer.headers["access-control-allow-methods"])

    def test_preflight_from_elsewhere(self) -> None:
        """Another page is told nothing."""
        answer = self.world.request("OPTIONS", "/channels/club", {"Origin": "https://bad.example"})
        self.assertNotIn("access-control-allow-origin", answer.headers)

    def test_answers(self) -> None:
        """Streams, history and refusals can be read by a page that may, and by no other."""
        page = {"Origin": "https://app.example"}
        for target in ("/channels/chat", "/channels/chat/history", "/channels/none"):
            answer = self.world.get(target, page)
            self.assertEqual(
                answer.headers["access-control-allow-origin"], "https://app.example", target
            )
            self.assertIn("Origin", answer.headers["vary"])
        refused = self.world.get("/channels/chat", {"Origin": "https://bad.example"})
        self.assertEqual(refused.code, "origin-rejected")
        self.assertNotIn("access-control-allow-origin", refused.headers)

    def test_own_origin(self) -> None:
        """Where no origins are configured, a page of the server's own may, and no other."""
        own = World(chat())
        self.assertEqual(own.get("/channels/chat", {"Origin": "http://localhost"}).status, 200)
        refused = own.get("/channels/chat", {"Origin": "https://app.example"})
        self.assertEqual(refused.code, "origin-rejected")
