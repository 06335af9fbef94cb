"""The Python client's page, its programs run against a server; and the backup of that server."""

from __future__ import annotations

import sqlite3

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.page import one
from tests.docs.running import Running

CHANNELS = """
from msgspec import Struct
from takotwist import define_channel

class Room(Struct, rename="camel"):
    room_id: str

class Msg(Struct):
    text: str

chat = define_channel("chat", params=Room, messages={"msg": Msg})

@chat.on("msg")
def say(data, context):
    return data
"""


class TestPythonClient(SynchronousTestCase):
    timeout = 120

    def setUp(self) -> None:
        self.running = Running()
        self.addCleanup(self.running.close)
        (self.running.folder / "channels").mkdir()
        (self.running.folder / "channels" / "chat.py").write_text(CHANNELS)
        self.running.serve()

    def program(self, kind: str) -> str:
        """What a program of the page prints."""
        text = self.running.ours(one("howto/python-client.md", kind).text)
        (self.running.folder / "program.py").write_text(text)
        return self.running.run("python program.py")

    def test_asyncio(self) -> None:
        """The asyncio program publishes a message and gets it."""
        self.assertRegex(self.program("asyncio"), r"^stored as \d+\nmsg \{'text': 'hi'\}\n$")

    def test_twisted(self) -> None:
        """So does the Twisted one."""
        self.assertRegex(self.program("twisted"), r"^stored as \d+\nmsg \{'text': 'hi'\}\n$")

    def test_script(self) -> None:
        """And the script."""
        self.assertRegex(self.program("script"), r"^stored as \d+\n\{'text': 'hi'\}\n$")

    def test_history(self) -> None:
        """A page of what is kept; here nothing is."""
        self.assertRegex(self.program("history"), r"^go on after \d+ that is all\n$")

    def test_gone(self) -> None:
        """A cursor that is too old is one `Reset`."""
        self.assertEqual(self.program("gone"), "reload: replay-too-old\n")

    def test_many(self) -> None:
        """Two topics on one connection stay apart."""
        self.assertEqual(self.program("many"), "{'roomId': 'staff'} {'text': 'only here'}\n")

    def test_publisher(self) -> None:
        """A backend publishes through the private socket, and with the definition at hand."""
        self.assertRegex(self.program("publisher"), r"^stored as \d+\n$")
        self.running.environment["TAKO_PUBLISH_URL"] = "unix:state/private.sock"
        publish = (
            'from channels.chat import *; chat(room_id="a").publish_sync("msg", Msg(text="b"))'
        )
        self.running.run(f"python -c '{publish}'")

    def test_backup(self) -> None:
        """The backup of a running server's log has its messages."""
        self.program("publisher")
        self.running.run(one("howto/backup-and-upgrade.md", "backup").text)
        db = sqlite3.connect(self.running.folder / "replay-backup.sqlite")
        self.addCleanup(db.close)
        self.assertEqual(db.execute("SELECT count(*) FROM message").fetchone(), (3,))
