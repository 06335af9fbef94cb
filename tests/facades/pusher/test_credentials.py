"""What a client shows to be let in, and who it is by that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import BodyInvalid, CredentialsMissing, MessageTooLarge, VerifyRejected
from takotwist.facades.pusher.apps import PusherApp, PusherSettings
from takotwist.facades.pusher.credentials import User, let_in, sign_in
from takotwist.facades.pusher.names import Name, Names
from tests.facades.pusher.here import ID, KEY, SECRET, signed

APP = PusherApp(name="main", id=ID, key=KEY, secret=SECRET, names=Names("main", ()))
SETTINGS = PusherSettings(max_user_info_bytes=20)
SOCKET = "12.34"

GUEST = (None, b"null")


class LetInTests(SynchronousTestCase):
    """A subscription."""

    def ask(
        self, name: str, data: Mapping[str, object] | None = None, user: User | None = None
    ) -> tuple[str | None, bytes]:
        """As it was sent."""
        return let_in(APP, SETTINGS, SOCKET, user, Name.of(name), data or {})

    def shown(self, name: str, said: object, **more: object) -> dict[str, object]:
        """Signed, with channel_data."""
        text = said if isinstance(said, str) else json.dumps(said)
        return {
            "channel_data": text,
            "auth": f"{KEY}:{signed(f'{SOCKET}:{name}:{text}')}",
            **more,
        }

    def plain(self, name: str, socket_id: str = SOCKET, secret: str = SECRET) -> dict[str, object]:
        """Signed, without."""
        return {"auth": f"{KEY}:{signed(f'{socket_id}:{name}', secret)}"}

    def test_public(self) -> None:
        """Nothing is looked at, be it right or wrong."""
        for name in ("news", "cache-news"):
            for data in ({}, {"auth": "x"}, {"channel_data": 7}):
                self.assertEqual(self.ask(name, data), GUEST)

    def test_private(self) -> None:
        """A signature of this connection and this channel; what it says of a user counts not."""
        for name in ("private-x", "private-encrypted-x", "private-cache-x"):
            self.assertEqual(self.ask(name, self.plain(name)), GUEST)
            said = {**self.plain(name), "channel_data": '{"user_id":"ann"}'}
            self.assertEqual(self.ask(name, said), GUEST)

    def test_forged(self) -> None:
        """Another connection's, another channel's, another app's, or none."""
        wrong: list[Mapping[str, object]] = [
            {},
            {"auth": None},
            {"auth": 7},
            {"auth": ""},
            {"auth": f"{KEY}:"},
            {"auth": signed(f"{SOCKET}:private-x")},
            {"auth": f"other:{signed(f'{SOCKET}:private-x')}"},
            self.plain("private-y"),
            self.plain("private-x", "12.35"),
            self.plain("private-x", secret="other"),
        ]
        for data in wrong:
            with self.subTest(data=data):
                self.assertRaises(CredentialsMissing, self.ask, "private-x", data)

    def test_member(self) -> None:
        """Who it is stands in what the app has signed; numbers are ids as well."""
        name = "presence-x"
        for user_id, expected in (("ann", "ann"), (7, "7"), (0, "0"), ("x" * 128, "x" * 128)):
            said = {"user_id": user_id, "user_info": {"n": 1}}
            self.assertEqual(self.ask(name, self.shown(name, said)), (expected, b'{"n":1}'))
        self.assertEqual(self.ask(name, self.shown(name, {"user_id": "ann"})), ("ann", b"null"))

    def test_member_forged(self) -> None:
        """What is shown is part of what is signed."""
        said = self.shown("presence-x", {"user_id": "ann"})
        for data in ({**said, "channel_data": '{"user_id": "eve"}'}, self.plain("presence-x")):
            if "channel_data" not in data:
                data["channel_data"] = '{"user_id": "ann"}'
            self.assertRaises(CredentialsMissing, self.ask, "presence-x", data)

    def test_bad_member(self) -> None:
        """What is signed and is no user is refused all the same."""
        bad: list[object] = [
            "{",
            "[]",
            "null",
            "[" * 100_000,
            {},
            {"user_id": ""},
            {"user_id": None},
            {"user_id": True},
            {"user_id": 1.5},
            {"user_id": "x" * 129},
            {"user_id": "a\nb"},
        ]
        for said in bad:
            data = self.shown("presence-x", said)
            self.assertRaises(BodyInvalid, self.ask, "presence-x", data)
        self.assertRaises(BodyInvalid, self.ask, "presence-x", {"channel_data": {"user_id": "a"}})

    def test_info_bounded(self) -> None:
        """At the bound it is taken, past it not."""
        fits, over = "x" * 18, "x" * 19
        said = self.shown("presence-x", {"user_id": "ann", "user_info": fits})
        self.assertEqual(self.ask("presence-x", said), ("ann", json.dumps(fits).encode()))
        said = self.shown("presence-x", {"user_id": "ann", "user_info": over})
        self.assertRaises(MessageTooLarge, self.ask, "presence-x", said)

    def test_signed_in(self) -> None:
        """Who has signed in is that member where nothing else is shown, within the same bound."""
        user: User = ("ann", {"id": "ann", "user_info": {"n": 1}})
        data = self.plain("presence-x")
        self.assertEqual(self.ask("presence-x", data, user), ("ann", b'{"n":1}'))
        other = self.shown("presence-x", {"user_id": "bob"})
        self.assertEqual(self.ask("presence-x", other, user), ("bob", b"null"))
        self.assertRaises(BodyInvalid, self.ask, "presence-x", data)
        long: User = ("ann", {"id": "ann", "user_info": "x" * 100})
        self.assertRaises(MessageTooLarge, self.ask, "presence-x", data, long)

    def test_own_channel(self) -> None:
        """A user's own channel is for that user, and needs no signature."""
        name = "#server-to-user-ann"
        self.assertEqual(self.ask(name, {}, ("ann", {})), GUEST)
        for user in (None, ("bob", {}), ("ann ", {})):
            self.assertRaises(VerifyRejected, self.ask, name, self.plain(name), user)


class SignInTests(SynchronousTestCase):
    """A user."""

    def ask(self, text: object, auth: object = None) -> User:
        good = f"{KEY}:{signed(f'{SOCKET}::user::{text}')}"
        return sign_in(APP, SOCKET, {"user_data": text, "auth": auth or good})

    def test_user(self) -> None:
        """Its id, and all that the app says of it."""
        for id, expected in (("ann", "ann"), (7, "7")):
            said: dict[str, Any] = {"id": id, "user_info": {"n": 1}, "watchlist": ["bob"]}
            self.assertEqual(self.ask(json.dumps(said)), (expected, said))

    def test_forged(self) -> None:
        """A signature of another connection or of a subscription, or of what is no text."""
        text = '{"id":"ann"}'
        for auth in (
            f"{KEY}:{signed(f'12.35::user::{text}')}",
            f"{KEY}:{signed(f'{SOCKET}:private-x:{text}')}",
            f"{KEY}:{signed('')}",
            7,
        ):
            self.assertRaises(CredentialsMissing, self.ask, text, auth)
        for text in (None, 7, {"id": "ann"}, ""):
            self.assertRaises(CredentialsMissing, self.ask, text, f"{KEY}:{signed('')}")

    def test_no_user(self) -> None:
        """What is signed and is no user is refused for that."""
        for text in ("{", "[]", "{}", '{"id":""}', '{"id":true}', '{"id":["a"]}'):
            self.assertRaises(BodyInvalid, self.ask, text)


class AppTests(SynchronousTestCase):
    """An app's own secret."""

    def test_not_shown(self) -> None:
        """In no text of it."""
        for app in (APP, attrs.evolve(APP, enabled=False)):
            self.assertNotIn(SECRET, f"{app!r} {app}")
