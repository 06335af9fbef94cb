"""Publishing from another process: what is sent, what is tried again, what is raised."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist import Published, Publisher, define_channel
from takotwist.app.http_exchange import HttpAnswer
from takotwist.app.publisher import environment_publisher
from takotwist.errors import (
    BodyInvalid,
    ChannelUnknown,
    ConfigError,
    Overloaded,
    Refusal,
    Unreachable,
)


def stored(*messages: tuple[str, Any]) -> HttpAnswer:
    body = [
        {"id": str(number), "channel": "chat", "type": kind, "data": data}
        for number, (kind, data) in enumerate(messages, 1)
    ]
    return HttpAnswer(200, {}, json.dumps(body).encode())


def refused(status: int, code: str = "overloaded", **headers: str) -> HttpAnswer:
    body = json.dumps({"error": "because", "code": code}).encode()
    return HttpAnswer(status, {name.replace("_", "-"): v for name, v in headers.items()}, body)


class PublisherCase(SynchronousTestCase):
    """A publisher whose exchanges and whose time are scripted."""

    def setUp(self) -> None:
        self.now = 0.0
        self.script: list[HttpAnswer | Exception] = []
        self.sent: list[tuple[str, str, dict[str, str], bytes]] = []
        for name in ("TAKO_PUBLISH_URL", "TAKO_PUBLISH_KEY"):
            self.patch_environment(name, None)
        self.publisher = self.make("https://live.example")

    def patch_environment(self, name: str, value: str | None) -> None:
        import os

        before = os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value

        def restore() -> None:
            os.environ.pop(name, None)
            if before is not None:
                os.environ[name] = before

        self.addCleanup(restore)

    def make(self, url: str | None = None, key: str | None = "k1") -> Publisher:
        return Publisher(
            url,
            key,
            exchange=self.exchange,
            clock=lambda: self.now,
            sleep=self.sleep,
            jitter=lambda: 0.5,
        )

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def exchange(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> HttpAnswer:
        self.sent.append((method, target, dict(headers), body))
        outcome = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class TestPublish(PublisherCase):
    def test_request(self) -> None:
        """One POST to the channel's own address, with params, key and idempotency key."""
        self.script = [stored(("msg", {"text": "hi"}))]
        published = self.publisher.publish(
            "chat", {"roomId": "a b", "on": True, "n": [1, 2], "none": None}, "msg", {"text": "hi"}
        )
        self.assertEqual(published, Published("1", "chat", "msg", {"text": "hi"}))
        method, target, headers, body = self.sent[0]
        self.assertEqual(method, "POST")
        self.assertEqual(target, "/_tako/channels/chat?roomId=a+b&on=true&n=1&n=2&none=null")
        self.assertEqual(headers["Authorization"], "Bearer k1")
        self.assertEqual(len(headers["Idempotency-Key"]), 32)
        self.assertEqual(body, b'[{"type":"msg","data":{"text":"hi"}}]')

    def test_addresses(self) -> None:
        """The path of the address is the base path; a Unix socket has the default one."""
        self.script = [stored(("msg", 1))]
        for url, target in (
            ("http://a", "/_tako/channels/a%2Fb"),
            ("http://a/", "/_tako/channels/a%2Fb"),
            ("http://a:81/live/channels", "/live/channels/a%2Fb"),
            ("unix:/run/tako/private.sock", "/_tako/channels/a%2Fb"),
        ):
            self.make(url).publish("a/b", None, "msg", 1)
            self.assertEqual(self.sent[-1][1], target)

    def test_without_key(self) -> None:
        """On the private socket no key is sent."""
        self.script = [stored(("msg", 1))]
        self.make("unix:/run/p.sock", None).publish("chat", None, "msg", 1)
        self.assertNotIn("Authorization", self.sent[0][2])

    def test_many(self) -> None:
        """Several messages are one request, under the caller's own key."""
        self.script = [stored(("a", 1), ("b", None))]
        published = self.publisher.publish_many(
            "chat", None, [("a", 1), ("b", None)], idempotency_key="k"
        )
        self.assertEqual([one.id for one in published], ["1", "2"])
        self.assertEqual(self.sent[0][2]["Idempotency-Key"], "k")
        self.assertEqual(self.publisher.publish_many("chat", None, []), [])
        self.assertEqual(len(self.sent), 1)

    def test_from_the_environment(self) -> None:
        """Address and key come from the environment where they are not given."""
        self.assertRaises(ConfigError, self.make, None)
        self.patch_environment("TAKO_PUBLISH_URL", "http://env")
        self.patch_environment("TAKO_PUBLISH_KEY", "k2")
        self.script = [stored(("msg", 1))]
        self.make(None, None).publish("chat", None, "msg", 1)
        self.assertEqual(self.sent[0][2]["Authorization"], "Bearer k2")

    def test_unusable_addresses(self) -> None:
        """An address that cannot be used is refused when the publisher is made."""
        for url in ("live.example", "ftp://a", "http://", "unix:", "http://a:port"):
            self.assertRaises(ConfigError, Publisher, url)

    def test_what_json_has_no_form_for(self) -> None:
        """Is refused before anything is sent."""
        for data in (float("nan"), object()):
            self.assertRaises(BodyInvalid, self.publisher.publish, "chat", None, "msg", data)
        self.assertEqual(self.sent, [])


class TestRetries(PublisherCase):
    def test_same_key(self) -> None:
        """Every attempt carries the same idempotency key, so nothing is stored twice."""
        self.script = [
            ConnectionResetError("reset"),
            refused(503),
            HttpAnswer(502, {}, b"<html>"),
            stored(("msg", 1)),
        ]
        self.publisher.publish("chat", None, "msg", 1)
        self.assertEqual(len(self.sent), 4)
        self.assertEqual(len({headers["Idempotency-Key"] for _, _, headers, _ in self.sent}), 1)

    def test_pauses(self) -> None:
        """Pauses double, and a server's own Retry-After is kept to."""
        self.script = [OSError(), OSError(), refused(429, retry_after="3"), stored(("m", 1))]
        self.publisher.publish("chat", None, "msg", 1)
        self.assertAlmostEqual(self.now, 0.1 + 0.2 + 3)

    def test_unreachable(self) -> None:
        """Without any answer the error has the key to go on with."""
        self.script = [ConnectionRefusedError("refused")]
        failed = self.assertRaises(Unreachable, self.publisher.publish, "chat", None, "msg", 1)
        self.assertEqual(failed.idempotency_key, self.sent[0][2]["Idempotency-Key"])
        self.assertIn("refused", str(failed))
        self.assertLess(self.now, 10)
        self.assertLess(len(self.sent), 12)

    def test_server_that_stays_overloaded(self) -> None:
        """When patience ends, the server's last answer is what is raised."""
        self.script = [refused(503)]
        self.assertRaises(Overloaded, self.publisher.publish, "chat", None, "msg", 1)
        self.script = [refused(503, retry_after="30")]
        self.sent.clear()
        self.assertRaises(Overloaded, self.publisher.publish, "chat", None, "msg", 1)
        self.assertEqual(len(self.sent), 1)

    def test_refusals(self) -> None:
        """A no is raised as the error of its code, and is not asked again."""
        self.script = [refused(404, "channel-unknown")]
        failed = self.assertRaises(ChannelUnknown, self.publisher.publish, "x", None, "msg", 1)
        self.assertEqual(failed.sentence, "because")
        self.script = [refused(418, "of-the-future")]
        unknown = self.assertRaises(Refusal, self.publisher.publish, "x", None, "msg", 1)
        self.assertEqual(unknown.code, "of-the-future")
        self.assertEqual(len(self.sent), 2)

    def test_another_server(self) -> None:
        """An answer that no takotwist server gives is an error and never a success."""
        for answer in (
            HttpAnswer(200, {}, b"<html>hello</html>"),
            HttpAnswer(200, {}, b"{}"),
            HttpAnswer(200, {}, b'[{"id":1}]'),
            HttpAnswer(404, {}, b"\xff"),
            HttpAnswer(302, {}, b""),
        ):
            self.script = [answer]
            self.assertRaises(Refusal, self.publisher.publish, "chat", None, "msg", 1)


class TestAwaitable(PublisherCase):
    def test_asyncio(self) -> None:
        """The awaitable forms do the same and leave the event loop free."""
        self.script = [stored(("msg", 1))]

        async def main() -> list[Published]:
            one = await self.publisher.publish_async("chat", None, "msg", 1)
            return [one, *await self.publisher.publish_many_async("chat", None, [("msg", 1)])]

        self.assertEqual(asyncio.run(main()), [Published("1", "chat", "msg", 1)] * 2)

    def test_without_asyncio(self) -> None:
        """Where no loop runs the error says what to use."""
        waiting = self.publisher.publish_async("chat", None, "msg", 1)
        failed = self.assertRaises(ConfigError, waiting.send, None)
        self.assertIn("publish_sync", str(failed))


class TestBound(PublisherCase):
    def test_bound_channel(self) -> None:
        """A channel publishes by what it is bound to, its payload checked before."""
        chat = define_channel("chat", messages={"msg": int})
        chat.bind(self.publisher)
        self.script = [stored(("msg", 1))]
        self.assertEqual(chat().publish_sync("msg", 1).id, "1")
        self.assertEqual(asyncio.run(chat().publish("msg", 1)).id, "1")
        self.assertEqual(len(chat().publish_many_sync([("msg", 1)])), 1)
        self.assertRaises(BodyInvalid, chat().publish_sync, "msg", "one")
        self.assertRaises(BodyInvalid, chat().publish_sync, "msh", 1)
        self.assertEqual(len(self.sent), 3)

    def test_unbound_channel(self) -> None:
        """A channel that is bound to nothing goes by the environment, or says what is missing."""
        environment_publisher.cache_clear()
        self.addCleanup(environment_publisher.cache_clear)
        chat = define_channel("chat")
        failed = self.assertRaises(ConfigError, chat().publish_sync, "msg", 1)
        self.assertIn("TAKO_PUBLISH_URL", str(failed))
        self.patch_environment("TAKO_PUBLISH_URL", "unix:/nowhere/at/all.sock")
        self.assertIs(environment_publisher(), environment_publisher())
