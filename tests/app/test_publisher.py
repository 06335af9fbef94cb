"""Publishing from another process: what is sent, what is tried again, what is raised."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist import Published, Publisher, define_channel
from takotwist.app.http_exchange import Deadline
from takotwist.app.publish_tries import Trouble
from takotwist.app.publisher import environment_publisher
from takotwist.codecs.http_answer import HttpAnswer
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


def _noting(function: Callable[..., None], note: Callable[[], None]) -> Callable[..., None]:
    def noted(*args: Any) -> None:
        note()
        function(*args)

    return noted


class PublisherCase(SynchronousTestCase):
    """A publisher whose exchanges and whose time are scripted."""

    def setUp(self) -> None:
        self.patch(logging.getLogger("takotwist.publisher"), "propagate", False)
        quiet = logging.NullHandler()
        logging.getLogger("takotwist.publisher").addHandler(quiet)
        self.addCleanup(logging.getLogger("takotwist.publisher").removeHandler, quiet)
        self.now = 0.0
        self.script: list[HttpAnswer | Exception] = []
        self.deadlines: list[float] = []
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
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        deadline: Deadline,
    ) -> HttpAnswer:
        self.deadlines.append(deadline.at)
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
            "chat", {"roomId": "a b", "on": True, "n": [1, 2]}, "msg", {"text": "hi"}
        )
        self.assertEqual(published, Published("1", "chat", "msg", {"text": "hi"}))
        method, target, headers, body = self.sent[0]
        self.assertEqual(method, "POST")
        self.assertEqual(target, "/_tako/channels/chat?n=1&n=2&on=true&roomId=a+b")
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
        """What a router, a login page or a captive portal says is neither a yes nor a no: it is
        tried again, and the error says what came."""
        html = {"content-type": "text/html; charset=utf-8"}
        for answer, said in (
            (HttpAnswer(200, html, b"<html>log in</html>"), "HTTP status 200 (text/html)"),
            (HttpAnswer(200, {}, b"{}"), "HTTP status 200 (no content type)"),
            (HttpAnswer(200, {}, b'[{"id":1}]'), "HTTP status 200"),
            (HttpAnswer(404, {}, b"\xff"), "HTTP status 404"),
            (HttpAnswer(403, {}, b'{"message":"Forbidden"}'), "HTTP status 403"),
            (HttpAnswer(403, {}, b'{"code":403,"error":"x"}'), "HTTP status 403"),
            (HttpAnswer(404, {}, b'{"code":"channel-unknown"}'), "HTTP status 404"),
            (
                HttpAnswer(302, {"location": "https://login.example/?token=abc"}, b""),
                "HTTP status 302 (no content type), which is no answer of a takotwist server;"
                " it leads to https://login.example",
            ),
            (HttpAnswer(302, {"location": "http://[x"}, b""), "HTTP status 302"),
        ):
            self.script = [answer, stored(("msg", 1))]
            self.assertEqual(self.publisher.publish("chat", None, "msg", 1).id, "1")
            self.script = [answer]
            begun = self.now
            failed = self.assertRaises(Unreachable, self.publisher.publish, "chat", None, "msg", 1)
            self.assertIn(said, str(failed))
            self.assertNotIn("token", str(failed))
            self.assertLessEqual(self.now - begun, 10)

    def test_attempts_end_with_patience(self) -> None:
        """No attempt may last beyond the publisher's patience, which counts from the call."""
        self.script = [ConnectionRefusedError("refused")]
        self.assertRaises(Unreachable, self.publisher.publish, "chat", None, "msg", 1)
        self.assertEqual(self.deadlines[0], 5)
        self.assertLessEqual(max(self.deadlines), 10)

    def test_last_attempt_is_cut_short(self) -> None:
        """An attempt for which patience leaves no time does not hide what was wrong before."""

        def oversleep(seconds: float) -> None:
            self.now = 9.99

        self.patch(self, "sleep", oversleep)
        self.script = [ConnectionRefusedError(111, "refused"), TimeoutError("no answer in time")]
        publisher = self.make("https://live.example")
        failed = self.assertRaises(Unreachable, publisher.publish, "chat", None, "msg", 1)
        self.assertEqual(len(self.deadlines), 2)
        self.assertIn("Connection refused", str(failed))

    def test_waiting_is_said_once(self) -> None:
        """Within a second it is said that a publish is still tried: once an outage, however many
        wait, and once that it is over."""
        self.script = [ConnectionRefusedError(111, "refused")]
        with self.assertLogs("takotwist.publisher") as logged:
            begun = self.now
            seen: list[float] = []
            self.patch(Trouble, "waits", _noting(Trouble.waits, lambda: seen.append(self.now)))
            for _ in range(3):
                self.assertRaises(Unreachable, self.publisher.publish, "chat", None, "msg", 1)
            self.assertLess(seen[0] - begun, 1)
            self.assertEqual(len(seen), 3)
            self.script = [stored(("msg", 1))]
            self.publisher.publish("chat", None, "msg", 1)
            self.publisher.publish("chat", None, "msg", 1)
        self.assertEqual(
            [record.getMessage() for record in logged.records],
            [
                "The takotwist server at https://live.example has not answered yet:"
                " Connection refused. Trying for 10 s.",
                "The takotwist server at https://live.example answers again.",
            ],
        )

    def test_short_trouble_is_not_said(self) -> None:
        """What is over within half a second is nobody's business."""
        self.script = [ConnectionRefusedError(111, "refused"), stored(("msg", 1))]
        with self.assertNoLogs("takotwist.publisher"):
            self.publisher.publish("chat", None, "msg", 1)


class TestAwaitable(PublisherCase):
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
        self.assertEqual(len(chat().publish_many_sync([("msg", 1)])), 1)
        self.assertRaises(BodyInvalid, chat().publish_sync, "msg", "one")
        self.assertRaises(BodyInvalid, chat().publish_sync, "msh", 1)
        self.assertEqual(len(self.sent), 2)

    def test_unbound_channel(self) -> None:
        """A channel that is bound to nothing goes by the environment, or says what is missing."""
        environment_publisher.cache_clear()
        self.addCleanup(environment_publisher.cache_clear)
        chat = define_channel("chat")
        failed = self.assertRaises(ConfigError, chat().publish_sync, "msg", 1)
        self.assertIn("TAKO_PUBLISH_URL", str(failed))
        self.patch_environment("TAKO_PUBLISH_URL", "unix:/nowhere/at/all.sock")
        self.assertIs(environment_publisher(), environment_publisher())
