"""Webhooks against other people's libraries, and a vector that one of them made."""

from __future__ import annotations

import json
from base64 import b64encode

import pusher
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from twisted.trial.unittest import SynchronousTestCase

from takotwist.codecs.webhook import Happening, of_pusher, read_secret, standard

SECRET = "whsec_" + b64encode(b"0123456789abcdef01234567").decode()


class StandardTests(SynchronousTestCase):
    """The Standard Webhooks form."""

    def test_vector(self) -> None:
        """A signature that the library of PyPI made over the same id, time and body."""
        library = Webhook(SECRET)
        happening = Happening(1_796_000_000_000_000, "topic.occupied", b'{"topic":"chat?roomId=a"}')
        body, headers = standard((read_secret(SECRET),), happening, 1_796_000_000)
        from datetime import UTC, datetime

        when = datetime.fromtimestamp(1_796_000_000, UTC)
        expected = library.sign(headers["webhook-id"], when, body.decode())
        self.assertEqual(headers["webhook-signature"], expected)
        said = json.loads(body)
        self.assertEqual(list(said), ["type", "timestamp", "data"])
        self.assertEqual(said["timestamp"], "2026-11-30T00:53:20.000Z")
        self.assertEqual(said["data"], {"topic": "chat?roomId=a"})

    def test_known_answer(self) -> None:
        """The signature over a text that is written down here."""
        import hmac
        from hashlib import sha256

        text = (
            b'msg_1.1796000000.{"type":"topic.occupied","timestamp":"2026-11-30T00:53:20Z",'
            b'"data":{"topic":"chat?roomId=a"}}'
        )
        digest = hmac.digest(read_secret(SECRET), text, sha256)
        self.assertEqual(b64encode(digest).decode(), "7iY0pPEKfurboBPx/pA6v0qaeH/RqAQ8hr2+XLIqoQU=")

    def test_library(self) -> None:
        """It verifies, also while a secret is exchanged, and refuses another body."""
        import time

        other = "whsec_" + b64encode(b"x" * 32).decode()
        now = time.time()
        happening = Happening(int(now * 1_000_000), "store.unavailable", b'{"since":1}')
        body, headers = standard((read_secret(other), read_secret(SECRET)), happening, now)
        for secret in (SECRET, other):
            Webhook(secret).verify(body.decode(), dict(headers))
        wrong = body.replace(b"1}", b"2}")
        self.assertRaises(
            WebhookVerificationError, Webhook(SECRET).verify, wrong.decode(), dict(headers)
        )

    def test_secrets(self) -> None:
        for bad in ("", "whsec_", "whsec_!", SECRET.removeprefix("whsec_"), "whsec_" + "A" * 20):
            self.assertRaises(ValueError, read_secret, bad)


class PusherTests(SynchronousTestCase):
    """Pusher's form, read by its Python library."""

    def test_library(self) -> None:
        import time

        happening = Happening(
            int(time.time() * 1_000_000),
            "member_added",
            b'{"channel":"presence-x","user_id":"ann"}',
        )
        body, headers = of_pusher("key", "secret", happening)
        library = pusher.Pusher(app_id="1", key="key", secret="secret")
        read = library.validate_webhook(
            headers["X-Pusher-Key"], headers["X-Pusher-Signature"], body.decode()
        )
        event = {"name": "member_added", "channel": "presence-x", "user_id": "ann"}
        self.assertEqual(read["events"], [event])
        self.assertEqual(read["time_ms"], happening.id // 1000)
        self.assertIs(library.validate_webhook("key", "0" * 64, body.decode()), None)

    def test_empty(self) -> None:
        body, _ = of_pusher("key", "secret", Happening(1, "x", b"{}"))
        self.assertEqual(json.loads(body)["events"], [{"name": "x"}])
