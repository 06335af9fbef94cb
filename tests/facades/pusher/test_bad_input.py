"""Bad input: each thing that may not be, and the whole of what is answered to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import md5
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.testing.memory_peer import HttpPeer
from tests.facades.pusher.here import ID, KEY, Here, signed

EVENTS = f"/apps/{ID}/events"

GOOD: Mapping[str, object] = {"name": "hi", "channels": ["a"], "data": "1"}

NAME = "A channel's name has 1 to 200 of the characters A-Z a-z 0-9 _ - = @ , . ;"

TIME = "auth_timestamp must be within 600 seconds of the server's time."

SIGNATURE = "auth_signature is not the signature of this request."

MD5 = "body_md5 must be the MD5 of the body."


class LibraryTests(SynchronousTestCase):
    """What a library for servers is answered: the status and the body, and nothing is stored."""

    def setUp(self) -> None:
        self.here = Here.of()
        self.now = int(self.here.world.clock.seconds())

    def answered(self, answer: HttpPeer, status: int, error: str, code: str) -> None:
        self.assertEqual((answer.status, answer.json), (status, {"error": error, "code": code}))
        news = self.here.world.get("/channels/pusher/history?app=main&name=a").json
        self.assertEqual(news["messages"], [])

    def test_unsigned(self) -> None:
        """A forged signature, a time long ago or to come, and a body that is another."""
        for wrong, error in (
            ({"auth_signature": "0" * 64}, SIGNATURE),
            ({"auth_signature": "%C3%A9"}, SIGNATURE),
            ({"auth_timestamp": str(self.now - 601)}, TIME),
            ({"auth_timestamp": str(self.now + 601)}, TIME),
            ({"auth_timestamp": "-1"}, TIME),
            ({"auth_timestamp": "now"}, TIME),
            ({"auth_timestamp": "9" * 400}, TIME),
            ({"body_md5": "0" * 32}, MD5),
            ({"auth_version": "2.0"}, "auth_version must be 1.0."),
            ({"auth_key": "another"}, "auth_key is not the key of this app."),
        ):
            answer = self.here.api("POST", EVENTS, GOOD, None, **wrong)
            self.answered(answer, 401, error, "credentials-missing")

    def ask(self, body: bytes, query: str) -> HttpPeer:
        signature = signed(f"POST\n{EVENTS}\n{query}")
        target = f"{EVENTS}?{query}&auth_signature={signature}"
        return self.here.world.request("POST", target, {}, body)

    def test_another_body(self) -> None:
        """A body without its MD5, or with that of another, is not believed with any signature."""
        good, other = json.dumps(GOOD).encode(), b'{"name":"hi","channels":["a"],"data":"2"}'
        fields = f"auth_key={KEY}&auth_timestamp={self.now}&auth_version=1.0"
        self.answered(self.ask(good, fields), 401, MD5, "credentials-missing")
        digest = md5(good, usedforsecurity=False).hexdigest()
        asked = self.ask(other, f"{fields}&body_md5={digest}")
        self.answered(asked, 401, MD5, "credentials-missing")

    def test_bodies(self) -> None:
        for wrong, error in (
            ({"channels": ["a b"]}, NAME),
            ({"channels": ["a\u00e9"]}, NAME),
            ({"channels": ["a", "a/b"]}, NAME),
            ({"channels": ["x" * 201]}, NAME),
            ({"channels": [7]}, NAME),
            ({"channels": [f"c{n}" for n in range(101)]}, "An event is for 1 to 100 channels."),
            ({"channels": []}, "An event is for 1 to 100 channels."),
            ({"data": None}, "data is missing."),
        ):
            answer = self.here.api("POST", EVENTS, {**GOOD, **wrong})
            self.answered(answer, 400, error, "body-invalid")
        answer = self.here.api("POST", EVENTS, {**GOOD, "data": "x" * 10_241})
        error = "data has 10241 bytes; at most 10240 are taken."
        self.answered(answer, 413, error, "message-too-large")

    def test_questions(self) -> None:
        for path, query, status, error, code in (
            (f"/apps/{ID}/channels/a%20b", None, 400, NAME, "body-invalid"),
            (
                f"/apps/{ID}/channels/a/users",
                None,
                400,
                "Users are those of a presence channel.",
                "body-invalid",
            ),
            (
                f"/apps/{ID}/channels",
                {"info": "user_count"},
                400,
                "user_count is for presence channels: filter_by_prefix=presence-",
                "body-invalid",
            ),
            ("/apps/9/channels", None, 404, "There is no app with this id.", "not-found"),
        ):
            answer = self.here.api("GET", path, None, query)
            self.answered(answer, status, error, code)


class ClientTests(SynchronousTestCase):
    """What a client is told, whose connection stays."""

    def setUp(self) -> None:
        self.here = Here.of(pusher={"client_event_rate": 2.0})
        self.client = self.here.connect()
        self.client.subscribe("news")
        self.client.subscribe("private-x")

    def told(self) -> Any:
        """The last frame."""
        self.assertIs(self.client.socket.close_reason, None)
        return self.client.events[-1]

    def error(self, message: str, code: int | None = None, channel: str | None = None) -> None:
        """The last is this one."""
        expected: dict[str, object] = {
            "event": "pusher:error",
            "data": {"message": message, "code": code},
        }
        if channel is not None:
            expected["channel"] = channel
        self.assertEqual(self.told(), expected)

    def test_names(self) -> None:
        for name in ("a b", "a/b", "\u00e9", "x" * 201, "", 7, None, "#server-to-user-"):
            self.client.say("pusher:subscribe", {"channel": name})
            self.error(NAME)

    def test_forged(self) -> None:
        for auth in ("", "x", f"{KEY}:{'0' * 64}", f"another:{signed('x')}"):
            self.client.subscribe("private-y", auth=auth)
            error = "The signature of this subscription is not the app's."
            data = {"type": "AuthError", "error": error, "status": 401}
            self.assertEqual(
                {**self.told(), "data": json.loads(self.told()["data"])},
                {"event": "pusher:subscription_error", "channel": "private-y", "data": data},
            )

    def test_client_events(self) -> None:
        """On a public channel, of one that it does not follow, too large, and too fast."""
        public = "Client events are for private and presence channels."
        self.client.say("client-x", {}, channel="news")
        self.error(public, 4301, "news")
        self.client.say("client-x", {}, channel="private-y")
        self.error("A client event is for a channel that its client follows.", 4301, "private-y")
        self.client.say("client-x", "x" * 10_241, channel="private-x")
        self.error("data has 10243 bytes; at most 10240 are taken.", 4301, "private-x")
        for _ in range(3):
            self.client.say("client-x", {}, channel="private-x")
        self.error("A client may send 2 client events a second.", 4301, "private-x")
