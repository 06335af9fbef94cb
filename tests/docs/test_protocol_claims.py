"""What the protocol's pages say in words, asked of a server in memory."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Grant, define_channel
from takotwist.testing.world import World

COOKIE = {"Cookie": "k=1"}
KEY = {"Idempotency-Key": "once"}


class Place(Struct):
    a: int
    b: str = "x"


class Said(Struct):
    text: str


def world() -> World:
    """A channel with handlers and credentials, and a public one without."""
    spoken = define_channel("spoken", params=Place, messages={"msg": Said, "other": Said})
    spoken.verify(cookie="k")(lambda request: Grant(subject="ada"))
    spoken.on("msg")(lambda data, context: data if data.text else None)
    return World(spoken, define_channel("news"))


class TestProtocolClaims(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = world()

    def test_many_topics(self) -> None:
        """Each frame on a connection with many topics gets the answer of the page."""
        wire = self.world.connect("/_tako/connect", COOKIE, subprotocol="tako.v1")
        topic: dict[str, Any] = {"channel": "spoken", "params": {"a": "1"}}
        for ref, frame in enumerate(
            [
                {"op": "subscribe", **topic},
                {"op": "subscribe", **topic},
                {"op": "publish", **topic, "type": "msg", "data": {"text": "hi"}},
                {"op": "publish", **topic, "type": "msg", "data": {"text": ""}},
                {"op": "publish", **topic, "type": "other", "data": {"text": "hi"}},
                {"op": "publish", **topic, "type": "nothing", "data": 1},
                {"op": "publish", "channel": "news", "type": "msg", "data": 1},
                {"op": "unsubscribe", **topic},
                {"op": "unsubscribe", **topic},
                {"type": "msg", "data": {"text": "hi"}},
                {"op": "ping"},
            ]
        ):
            wire.say({"ref": ref, **frame})
        opened, subscribed, *answers = wire.ops
        self.assertNotIn("cursor", opened)
        self.assertEqual(subscribed["params"], {"a": 1, "b": "x"})
        self.assertEqual(subscribed["subject"], "ada")
        self.assertEqual([one["ref"] for one in answers], list(range(1, 11)))
        stored = wire.messages[0]["id"]
        outcomes = [one.get("code", one.get("id", one["op"])) for one in answers]
        self.assertEqual(
            outcomes,
            [
                "body-invalid",
                stored,
                None,
                None,
                "body-invalid",
                "transport-not-enabled",
                "ack",
                "not-found",
                "body-invalid",
                "pong",
            ],
        )

    def test_plain(self) -> None:
        """In the plain protocol a bad frame is dropped, and the connection goes on."""
        wire = self.world.connect("/channels/spoken?a=1", COOKIE)
        wire.say({"type": "msg", "data": {"text": 5}})
        wire.say({"type": "msg", "data": {"text": "ok"}})
        self.assertEqual([one["data"] for one in wire.messages], [{"text": "ok"}])
        self.assertIsNone(wire.close_reason)

    def test_order_of_checks(self) -> None:
        """Params come before credentials, credentials before the origin."""
        elsewhere = {"Origin": "https://elsewhere.example"}
        get = self.world.get
        self.assertEqual(get("/channels/nothing?a=x", elsewhere).code, "channel-unknown")
        self.assertEqual(get("/channels/spoken?a=x", elsewhere).code, "params-invalid")
        self.assertEqual(get("/channels/spoken?a=1", elsewhere).code, "credentials-missing")
        both = {**COOKIE, **elsewhere}
        self.assertEqual(get("/channels/spoken?a=1", both).code, "origin-rejected")
        self.assertEqual(self.world.request("PUT", "/channels/spoken?a=1", COOKIE).status, 405)
        self.assertEqual(get("/channels/news?misspelt=1").code, "params-invalid")

    def test_head(self) -> None:
        """HEAD of a subscription is answered as a GET, and follows nothing."""
        get, head = self.world.get("/channels/news"), self.world.request("HEAD", "/channels/news")
        self.assertEqual((head.status, head.body), (200, b""))
        for name in ("content-type", "cache-control", "x-accel-buffering"):
            self.assertEqual(head.headers[name], get.headers[name])
        self.assertEqual(len(self.world.parts.sessions), 1)
        get.leave()
        for target, status in (
            ("/channels/nothing", 404),
            ("/channels/spoken?a=1", 401),
            ("/channels/news?last_event_id=x", 400),
        ):
            self.assertEqual(self.world.request("HEAD", target).status, status)

    def test_upgrades(self) -> None:
        """The connection with many topics wants an upgrade, and `tako.v1`."""
        self.assertEqual(self.world.get("/_tako/connect").status, 426)
        self.assertEqual(self.world.connect("/_tako/connect", COOKIE).status, 400)
        self.assertEqual(self.world.connect("/channels/news").code, "transport-not-enabled")

    def test_once(self) -> None:
        """The same key gives the first answer again, whatever the second body says."""
        answers = [
            self.world.request(
                "POST", "/channels/news", KEY, {"type": "a", "data": data}, private=True
            ).json
            for data in (1, 2)
        ]
        self.assertEqual(answers[0], answers[1])
        history = self.world.get("/channels/news/history").json
        self.assertEqual(history["messages"], answers[:1])
        self.assertEqual(history["cursor"], answers[0]["id"])

    def test_binary(self) -> None:
        """A binary frame closes with 1003."""
        wire = self.world.connect("/channels/spoken?a=1", COOKIE)
        wire.send_frame(2, b"{}")
        self.assertEqual(wire.close_reason, (1003, "text-frames-only"))
