"""One order, where the authority misbehaves; `tests.sockets.test_acme` has one that does not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import requests
from acme import client, errors, messages
from josepy.jwa import ES256
from twisted.trial.unittest import SynchronousTestCase

from takotwist.tls.acme.folder import AcmeFolder
from takotwist.tls.acme.order import MAX_REASON, NONCES, OrderFailed, Orders, OrderStopped
from tests.tls.acme.certificates import NOW, T, signed

NAMES = ("chat.example.com",)
DIRECTORY = "https://ca.example/dir"

URLS = {
    name: f"https://ca.example/{name}" for name in ("newNonce", "newAccount", "newOrder", "cert")
}


class Scripted(requests.Session):
    """Answers each request by its method and path, and keeps what was asked.

    :ivar answers: path -> status, JSON or text, and headers.
    """

    def __init__(self, answers: dict[str, Any]) -> None:
        super().__init__()
        self.answers = answers
        self.asked: list[str] = []

    def request(self, method: str, url: str, **_: Any) -> Any:  # type: ignore[override]
        path = url.removeprefix("https://ca.example/")
        self.asked.append(f"{method} {path}")
        said = self.answers[path]
        if isinstance(said, Exception):
            raise said
        status, body, headers = said
        answer = requests.Response()
        answer.status_code = status
        answer._content = (body if isinstance(body, str) else json.dumps(body)).encode()
        answer.headers.update({"Replay-Nonce": "bm9uY2U", "Date": date(T), **headers})
        answer.url = url
        for hook in self.hooks["response"]:
            hook(answer)
        return answer


def date(seconds: float) -> str:
    """As HTTP writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")


class OrderTests(SynchronousTestCase):
    """An authority that answers as it is told."""

    def setUp(self) -> None:
        self.folder = AcmeFolder(Path(self.mktemp()).absolute(), DIRECTORY, NAMES)
        self.folder.prepare(NOW)
        self.stopped = Event()
        self.orders = Orders(self.folder, None, None, lambda: T, self.stopped)
        self.session = Scripted(
            {
                "dir": (200, URLS, {}),
                "newNonce": (200, "", {}),
                "newAccount": (201, {"status": "valid"}, {"Location": "https://ca.example/a/1"}),
            }
        )
        self.patch(requests, "Session", lambda: self.session)

    def failed(self) -> OrderFailed:
        return self.assertRaises(OrderFailed, self.orders.obtain, "http-01")

    def order(self, **order: Any) -> None:
        """The order that is made, its name proved already."""
        identifier = {"type": "dns", "value": NAMES[0]}
        body = {
            "status": "ready",
            "identifiers": [identifier],
            "authorizations": ["https://ca.example/z/1"],
            "finalize": "https://ca.example/f/1",
            **order,
        }
        self.session.answers |= {
            "newOrder": (201, body, {"Location": "https://ca.example/o/1"}),
            "o/1": (200, body, {}),
            "f/1": (200, {**body, "status": "valid", "certificate": URLS["cert"]}, {}),
            "z/1": (200, {"identifier": identifier, "status": "valid", "challenges": []}, {}),
        }

    def test_rate_limited(self) -> None:
        """How long the authority wants to be left alone is kept, as a number or a date."""
        problem = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many"}
        for retry_after, least in (("86400", 86_400), ("", 0), ("soon", 0), ("9" * 40, 0)):
            self.session.answers["newOrder"] = (429, problem, {"Retry-After": retry_after})
            failed = self.failed()
            self.assertEqual(failed.reason, "rateLimited: too many")
            self.assertEqual(failed.retry_after, least)
        far = date(datetime.now(UTC).timestamp() + 7200)
        self.session.answers["newOrder"] = (429, problem, {"Retry-After": far})
        self.assertTrue(7000 < self.failed().retry_after <= 7200)

    def test_wrong_clock(self) -> None:
        """Nothing is asked but the directory."""
        for skew in (-7200, 7200):
            self.session.asked.clear()
            self.session.answers["dir"] = (200, URLS, {"Date": date(T + skew)})
            self.assertIn("2 hours", self.failed().reason)
            self.assertEqual(self.session.asked, ["GET dir"])
        self.session.answers["dir"] = (200, URLS, {"Date": "nonsense"})
        self.session.answers["newOrder"] = (500, "oops", {})
        self.assertNotIn("clock", self.failed().reason)

    def test_account_is_kept(self) -> None:
        """One account is made, also where the try came to nothing, and by a key that stays."""
        self.session.answers["newOrder"] = (500, "oops", {})
        self.failed()
        account = self.folder.account()
        self.assertEqual(account["uri"], "https://ca.example/a/1")
        self.failed()
        self.assertEqual(self.folder.account(), account)

    def test_account_is_known(self) -> None:
        """An account that the authority knows by its key is used."""
        self.session.answers["newAccount"] = (
            200,
            {"status": "valid"},
            {"Location": "https://ca.example/a/7"},
        )
        self.session.answers["newOrder"] = (500, "oops", {})
        self.failed()
        self.assertEqual(self.folder.account()["uri"], "https://ca.example/a/7")

    def test_answers_of_no_use(self) -> None:
        """Whatever comes back, there is one sentence, and the folder is as it was."""
        before = self.folder.certificate.read_bytes()
        self.order()
        for path, said in (
            ("dir", (200, "<html>", {})),
            ("dir", (200, {}, {})),
            ("dir", (500, "", {})),
            ("dir", requests.ConnectionError("0x7f")),
            ("newNonce", (200, "", {"Replay-Nonce": "!"})),
            ("newOrder", (201, {"status": "odd"}, {})),
            ("newOrder", (201, [], {})),
            ("z/1", (200, {}, {})),
            ("f/1", (403, {"type": "urn:ietf:params:acme:error:badCSR", "detail": "x" * 9999}, {})),
        ):
            good = self.session.answers[path]
            self.session.answers[path] = said
            reason = self.failed().reason
            self.assertLessEqual(len(reason), MAX_REASON)
            self.assertNotIn("0x7f", reason)
            self.session.answers[path] = good
        self.assertEqual(self.folder.certificate.read_bytes(), before)
        self.assertEqual(list((self.folder.path / "challenges").iterdir()), [])

    def test_certificates_of_no_use(self) -> None:
        """A certificate for another key, or that is none, is not taken."""
        self.order()
        for content, words in (
            (signed(NAMES).chain_pem.decode(), "another key"),
            ("hello", "no certificate"),
        ):
            self.session.answers["cert"] = (200, content, {})
            self.assertIn(words, self.failed().reason)

    def test_refused_nonces(self) -> None:
        """A request whose nonces are refused is sent again, and not for ever."""
        problem = {"type": "urn:ietf:params:acme:error:badNonce", "detail": "old"}
        self.session.answers["newOrder"] = (400, problem, {})
        self.assertEqual(self.failed().reason, "badNonce: old")
        self.assertEqual(self.session.asked.count("POST newOrder"), 2 * (NONCES + 1))

    def test_invalid_order(self) -> None:
        """An order that comes to nothing says why."""
        self.order(status="invalid", error={"type": "about:blank", "detail": "not you"})
        self.assertIn("not you", self.failed().reason)

    def test_no_such_challenge(self) -> None:
        """An authority that offers no challenge of ours is named with it."""
        self.order(status="pending")
        identifier = {"type": "dns", "value": NAMES[0]}
        pending = {"identifier": identifier, "status": "pending", "challenges": []}
        self.session.answers["z/1"] = (200, pending, {})
        self.assertIn("offers no http-01 challenge", self.failed().reason)

    def test_stopped(self) -> None:
        """The stop of the server ends a wait at once."""
        self.stopped.set()
        self.order(status="pending")
        self.assertRaises(OrderStopped, self.orders.obtain, "http-01")

    def test_outside_account(self) -> None:
        """An authority that wants an account made elsewhere is told of, and not asked further."""
        directory = {**URLS, "meta": {"externalAccountRequired": True}}
        self.session.answers["dir"] = (200, directory, {})
        self.assertIn("EAB", self.failed().reason)
        self.assertEqual(self.session.asked, ["GET dir"])

    def test_advice_without(self) -> None:
        """An authority without renewal information has no advice, and is asked for none."""
        # The library goes by the day on which the tests run: none is asked for what has expired.
        self.assertIsNone(self.orders.advice(signed(NAMES, datetime.now(UTC))))
        self.assertEqual(self.session.asked, ["GET dir"])


class LibraryTests(SynchronousTestCase):
    """What the code relies on in the library."""

    def test_names(self) -> None:
        """The parts that are used are there."""
        self.assertTrue(issubclass(errors.ConflictError, errors.Error))
        self.assertTrue(issubclass(messages.Error, errors.Error))
        self.assertEqual(ES256.name, "ES256")
        self.assertTrue(callable(client.ClientV2.renewal_time))
