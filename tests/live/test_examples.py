"""Each example of examples/live, as its page uses it."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from takotwist.live.functions.function import discover_functions
from takotwist.testing.world import World
from tests.live.page import Page

FOLDER = Path(__file__).parents[2] / "examples" / "live" / "functions"


class LiveExampleTests(SynchronousTestCase):
    """What the pages of the examples see."""

    def setUp(self) -> None:
        functions = discover_functions(FOLDER)
        self.world = World(functions=functions.values())
        self.functions = functions
        for name in ("onClock", "onExport"):
            namespace = functions[name].wrapped.__globals__
            namespace["clock"] = self.world.clock
            self.addCleanup(namespace.__setitem__, "clock", None)
        self.page = Page(self.world)
        self.page.connect()

    def test_clock(self) -> None:
        """The time comes each second, and stops when the page closes."""
        clock = self.page.get("onClock")
        self.page.pump()
        self.page.advance(3)
        self.assertEqual(len(clock.heard), 4)
        clock.close()
        self.page.pump()
        self.assertEqual(clock.ended, [None])
        self.page.advance(3)
        self.assertEqual(len(clock.heard), 4)

    def test_echo(self) -> None:
        """What is said comes back."""
        echo = self.page.get("onEcho")
        echo.send("Hello!")
        self.page.pump()
        self.assertEqual(echo.heard, ["echo: Hello!"])

    def test_room(self) -> None:
        """Each side's messages are answered by the other."""
        room = self.page.get("onJoinRoom")
        room.answers = lambda data: {"delivered": True}
        joined = room.send({"type": "join", "roomId": "general"}, ack=True)
        said = room.send({"type": "chat", "text": "hi"}, ack=True)
        wrong = room.send({"type": "shout"}, ack=True)
        self.page.pump()
        self.assertEqual((joined.answer, said.answer), ({"accepted": True},) * 2)
        self.assertEqual(wrong.code, "validation")
        self.assertEqual(
            room.heard,
            [
                {"type": "system", "text": "Joined general"},
                {"type": "chat", "text": "echo: hi"},
            ],
        )

    def test_chat(self) -> None:
        """Two people in a room hear each other, themselves, and who comes and goes."""
        other = Page(self.world, "t" * 22)
        other.connect()
        bob = other.get("onJoinChat", "lobby", "Bob")
        bob.subscribe()
        other.pump()
        alice = self.page.get("onJoinChat", "lobby", "Alice")
        alice.subscribe()
        alice.publish({"user": "Alice", "text": "Hello!"})
        self.page.pump()
        alice.close()
        self.page.pump()
        other.pump()
        texts = [message["text"] for message in bob.heard]
        self.assertEqual(texts, ["Alice joined", "Hello!", "Alice left"])
        self.assertEqual([message["text"] for message in alice.heard], ["Hello!"])
        self.assertEqual([info.seq for info in bob.infos], [2, 3, 4])

    def test_notifications(self) -> None:
        """Each user gets their own on all tabs; nobody who is not signed in gets any."""
        tabs = []
        for secret, session in (("a" * 22, "ann"), ("b" * 22, "ann"), ("c" * 22, "bob")):
            page = Page(self.world, secret, Cookie=f"session={session}-session")
            page.connect()
            end = page.get("onListenNotifications")
            end.subscribe()
            tabs.append((page, end))
            page.pump()
        self.assertEqual(self.page.call("onListenNotifications")[0], 401)
        notify = self.functions["onListenNotifications"].wrapped.__globals__["notify"]
        notify("ann", "hello")
        notify("ann", "world")
        for page, _ in tabs:
            page.pump()
        both = ["hello", "world"]
        self.assertEqual([end.heard for _, end in tabs], [both, both, []])

    def test_progress(self) -> None:
        """The bar moves to its end, then the channel closes."""
        status, body = self.page.call("onExport", 3)
        self.assertEqual((status, body["live"][0]["path"]), (200, ["progress"]))
        bar = self.page.get("onExport", 3)
        self.page.advance(2)
        self.assertEqual(bar.heard[:3], [{"done": n, "of": 3} for n in (1, 2, 3)])
        self.assertEqual(bar.heard[3:], [{"file": "/exports/3.csv"}])
        self.assertEqual(bar.ended, [None])

    def test_progress_cancelled(self) -> None:
        """Closing the bar stops the work."""
        bar = self.page.get("onExport", 1000)
        self.page.advance(1)
        bar.close()
        self.page.advance(5)
        self.assertEqual((bar.ended, len(bar.heard)), ([None], 2))

    def test_upload(self) -> None:
        """All bytes arrive, in order, and the answer proves it."""
        upload = self.page.get("onUpload", "photo.jpg")
        chunks = [bytes([n]) * 50_000 for n in range(100)]
        for chunk in chunks:
            upload.send(chunk)
            self.page.pump()
        done = upload.send("done", ack=True)
        self.page.pump()
        whole = b"".join(chunks)
        self.assertEqual(
            done.answer,
            {"name": "photo.jpg", "size": len(whole), "sha256": sha256(whole).hexdigest()},
        )
