"""An app's registry: what it may say, and what it may leave out."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.codecs.registry_json import MAX_DEFINITIONS, read_registry, write_registry
from takotwist.core.channel import ChannelDefinition, Credentials
from takotwist.errors import BodyInvalid


class Room(msgspec.Struct, rename="camel"):
    room_id: str
    count: int = 10


def read(*entries: dict[str, Any]) -> tuple[ChannelDefinition, ...]:
    return read_registry(json.dumps(entries).encode())


class TestRead(SynchronousTestCase):
    def test_the_original_shape(self) -> None:
        """The four fields of the original system make a definition."""
        (definition,) = read(
            {
                "channel": "chat",
                "paramsSchema": {
                    "type": "object",
                    "properties": {"roomId": {"type": "string", "minLength": 1}},
                    "required": ["roomId"],
                },
                "auth": {"headerName": "Authorization", "cookieName": "sid"},
                "transport": "ws",
            }
        )
        self.assertEqual(definition.params.names, ("roomId",))
        self.assertTrue(definition.verified)
        self.assertEqual(
            definition.credentials, Credentials(header_name="authorization", cookie_name="sid")
        )
        self.assertIsNone(definition.handlers)
        self.assertTrue(definition.bidirectional)

    def test_auth(self) -> None:
        """What is left out of auth: the authorization header, unless a cookie is named."""
        for auth, verified, credentials in (
            (False, False, None),
            ({}, True, Credentials(header_name="authorization")),
            ({"cookieName": "sid"}, True, Credentials(cookie_name="sid")),
            ({"headerName": False, "cookieName": "sid"}, True, Credentials(cookie_name="sid")),
            ({"headerName": False}, True, None),
            (
                {"queryToken": True},
                True,
                Credentials(header_name="authorization", query_token=True),
            ),
        ):
            (definition,) = read({"channel": "chat", "auth": auth})
            self.assertEqual((definition.verified, definition.credentials), (verified, credentials))

    def test_public_sse(self) -> None:
        """Without transport a channel is for SSE only; without a schema it has no params."""
        for extra in ({}, {"paramsSchema": {}}, {"transport": "sse"}, {"unknown": 1}):
            (definition,) = read({"channel": "news", "auth": False, **extra})
            self.assertFalse(definition.bidirectional)
            self.assertEqual(definition.params.names, ())

    def test_lifecycle(self) -> None:
        """Lifecycle keys count where they are said."""
        (definition,) = read({"channel": "a", "auth": False, "replayWindowMs": 5})
        self.assertEqual(definition.lifecycle.replay_window_ms, 5)
        self.assertEqual(definition.lifecycle.keepalive_interval_ms, 25_000)

    def test_wrong(self) -> None:
        """A wrong entry refuses the whole registry and names the channel or field."""
        good = {"channel": "chat", "auth": False}
        for entry, part in (
            ({"channel": "chat"}, "auth"),
            ({"channel": "chat", "auth": True}, "auth"),
            ({"channel": "chat", "auth": None}, "auth"),
            ({**good, "channel": "a b"}, "'a b'"),
            ({**good, "paramsSchema": {"type": "array"}}, "channel 'chat'"),
            ({**good, "paramsSchema": {"type": "object", "properties": 5}}, "channel 'chat'"),
            ({**good, "replayWindowMs": -1}, "channel 'chat': replay_window_ms"),
            ({**good, "replayWindowMs": "1"}, "replayWindowMs"),
            ({**good, "messages": {"msg": {"type": 5}}}, "channel 'chat'"),
            ({**good, "partitionBy": ["x"]}, "channel 'chat'"),
        ):
            refused = self.assertRaises(BodyInvalid, read, {"channel": "ok", "auth": False}, entry)
            self.assertIn(part, refused.sentence)

    def test_no_registry(self) -> None:
        """Something else altogether is refused, and so are too many channels."""
        for body in (b"", b"{}", b"null", b"<html>", b'"\xff"', b"[" * 50_000):
            self.assertRaises(BodyInvalid, read_registry, body)
        many = [{"channel": f"c{index}", "auth": False} for index in range(MAX_DEFINITIONS + 1)]
        self.assertRaises(BodyInvalid, read, *many)


class TestWrite(SynchronousTestCase):
    def test_round_trip(self) -> None:
        """What an app defines in Python arrives as it was defined."""
        plain = define_channel("plain")
        full = define_channel(
            "full",
            params=Room,
            messages={"msg": Room, "count": int},
            partition_by="room_id",
            replay_window=1,
            replay_max_messages=7,
        )
        full.verify(header="X-Key", cookie="sid", query_token=True)(lambda request: True)
        full.on("msg")(lambda data, context: data)
        capability = define_channel("capability", forward_unhandled=True)
        capability.verify(header=None)(lambda request: True)
        cookie = define_channel("cookie")
        cookie.verify(cookie="sid")(lambda request: True)
        ours = [one.definition for one in (plain, full, capability, cookie)]
        theirs = read_registry(write_registry(ours))
        for our, their in zip(ours, theirs, strict=True):
            self.assertEqual(their.name, our.name)
            self.assertEqual(their.params.schema.document, our.params.schema.document)
            self.assertEqual(their.credentials, our.credentials)
            self.assertEqual(their.verified, our.verified)
            self.assertEqual(their.bidirectional, our.bidirectional)
            self.assertEqual(their.partition_by, our.partition_by)
            self.assertEqual(their.lifecycle, our.lifecycle)
            self.assertEqual(
                {key: one.schema.document for key, one in their.messages.items()},
                {key: one.schema.document for key, one in our.messages.items()},
            )
