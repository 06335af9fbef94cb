"""Programs that stand on a page whole: streams of one's own, and tests of one's channels."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import websockets
from twisted.trial.unittest import SynchronousTestCase

from tests.docs.page import DOCS, one
from tests.docs.running import Running, eventually


class TestPrograms(SynchronousTestCase):
    timeout = 60

    def start(self, page: str) -> Running:
        running = Running(DOCS / page)
        self.addCleanup(running.close)
        command = one(page, "serve").text.replace("8080", str(running.port))
        running.start(command, "log", errors_too=True)
        probe = "curl -s -o heard-nothing -m 1 http://localhost:8080/nothing && echo up"
        eventually(lambda: "up" in running.run(probe, check=False), "the program answers")
        return running

    def test_event_stream(self) -> None:
        """A client that comes back goes on after the event that it saw."""
        running = self.start("howto/sse.md")
        running.start(one("howto/sse.md", "listen").text, "heard")
        eventually(lambda: "id: 43\ndata: tick 43\n" in running.said("heard"), "the events")
        self.assertTrue(running.said("heard").startswith("id: 42\ndata: tick 42\n\n"))

    def test_websocket(self) -> None:
        """What is sent comes back; a page of another origin is refused."""
        running = self.start("howto/websocket.md")
        url = f"ws://127.0.0.1:{running.port}/echo"

        async def talk() -> tuple[str | bytes, int]:
            async with websockets.connect(url, origin="https://app.example.com") as connection:  # type: ignore[arg-type]
                await connection.send("hello")
                echoed = await connection.recv()
            try:
                await websockets.connect(url, origin="https://elsewhere.example")  # type: ignore[arg-type]
            except websockets.InvalidStatus as refused:
                return echoed, refused.response.status_code
            return echoed, 101

        self.assertEqual(asyncio.run(talk()), ("hello", 403))

    def test_tokens(self) -> None:
        """The token of the command, and that of the program, open the room that they name."""
        page = "howto/tokens.md"
        running = Running(DOCS / page)
        self.addCleanup(running.close)
        running.run(one(page, "secret").text)
        running.serve(one(page, "serve").text)
        running.run(one(page, "token").text)
        running.start(one(page, "listen").text, "heard")
        eventually(lambda: "open" in running.said("heard"), "the stream is open")
        (running.folder / "program.py").write_text(one(page, "program").text)
        running.run("python program.py > ann.jwt")
        asked = one(page, "listen").text.replace("chat?", "chat/history?")
        self.assertIn('"messages":[]', running.run(asked))
        self.assertIn("does not allow", running.run(asked.replace("lobby", "cellar")))
        self.assertNotIn(running.said("ann.jwt").strip(), running.said("log"))

    def test_streamed_messages(self) -> None:
        """Asked in a room and answered bit by bit; written from elsewhere, read and cancelled."""
        page = "howto/streamed-messages.md"
        running = Running(DOCS / page)
        self.addCleanup(running.close)
        running.serve(one(page, "serve").text)
        url = f"ws://127.0.0.1:{running.port}/channels/chat?roomId=lobby"
        headers = {"Authorization": "ann"}

        async def ask() -> list[dict[str, Any]]:
            async with websockets.connect(url, additional_headers=headers) as connection:
                await connection.send('{"type":"ask","data":{"text":"who are you"}}')
                return [json.loads(await connection.recv())["data"] for _ in range(3)]

        asked, opening, final = asyncio.run(ask())
        self.assertEqual(asked, {"text": "who are you"})
        self.assertEqual((opening["stream"]["state"], opening["text"]), ("open", ""))
        self.assertEqual(
            (final["stream"]["state"], final["meta"]), ("ended", {"to": "who are you"})
        )
        self.assertEqual(final["text"], "You asked: who are you ")

        running.start("python worker.py", "worked", errors_too=True)
        listed = one(page, "list").text
        eventually(lambda: "job-7" in running.run(listed, check=False), "it is listed")
        running.start(one(page, "read").text, "heard")
        eventually(lambda: "3 " in running.said("heard"), "the first tokens")
        listening = running.start("python listen.py", "listened", errors_too=True)
        eventually(lambda: "3 " in running.said("listened"), "the same tokens")
        running.run(one(page, "cancel").text)
        eventually(lambda: '"streamEnd":"cancelled"' in running.said("heard"), "its end")
        self.assertEqual(listening.wait(60), 0, running.said("listened"))
        self.assertTrue(running.said("listened").startswith("0 1 2 3 "))
        self.assertTrue(running.said("listened").endswith("\ncancelled\n"))
        self.assertNotIn("job-7", running.run(listed))

    def test_token_stream(self) -> None:
        """A restart in the middle of an answer: its reader has all of it, and is told its end."""
        page = "howto/token-stream.md"
        running = Running(DOCS / page)
        self.addCleanup(running.close)
        running.write("write.py", running.ours((running.folder / "write.py").read_text()))
        server = running.serve(one(page, "serve").text)
        written = running.start("python write.py", "written", errors_too=True)
        mine = "curl -s -H 'Authorization: Bearer ann' http://localhost:8080/streams/ann/1"
        eventually(lambda: "token 5" in running.run(mine, check=False), "the first tokens")
        running.stop(server)
        running.serve("tako serve")
        self.assertEqual(written.wait(60), 0, running.said("written"))
        whole = "".join(f"token {number}\n" for number in range(50))
        self.assertEqual(running.run(mine), whole)
        self.assertIn("Stream-Closed: true", running.run(f"{mine} -I"))
        other = running.run(mine.replace("Bearer ann", "Bearer eve"))
        self.assertIn("verify-rejected", other)

    def test_testing(self) -> None:
        """The tests on the page about testing pass."""
        page = "howto/testing-your-channels.md"
        running = Running(DOCS / page)
        self.addCleanup(running.close)
        running.environment["PYTHONPATH"] = str(running.folder)
        (running.folder / "tests" / "__init__.py").write_text("")
        running.run(one(page, "run").text)
