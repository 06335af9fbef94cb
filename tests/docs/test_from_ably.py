"""The page for those who come from Ably: its rule holds as it is printed."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from takotwist.app.discovery import discover
from takotwist.testing.world import World
from tests.docs.page import DOCS, write_project

ROOM = "/channels/chat?roomId=lobby"


class TestFromAbly(SynchronousTestCase):
    def test_guests_listen_members_speak(self) -> None:
        """A guest hears what a member says, and is refused what it says itself."""
        with tempfile.TemporaryDirectory() as folder:
            write_project(DOCS / "howto/from-ably.md", Path(folder))
            world = World(*discover(Path(folder) / "channels").channels)
        guest, member = (
            world.connect(ROOM, {"Authorization": f"Bearer {name}"}, subprotocol="tako.v1")
            for name in ("guest7", "ada")
        )
        guest.say({"type": "msg", "data": {"text": "hi"}, "ref": 1})
        member.say({"type": "msg", "data": {"text": "hello"}, "ref": 1})
        self.assertEqual(guest.ops[-1]["code"], "verify-rejected")
        self.assertEqual(
            [message["data"] for message in guest.messages], [{"text": "hello", "author": "ada"}]
        )
