"""A streamed message while its readers are cut off and its server is killed."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Publisher
from takotwist.errors import StreamEnded
from tests.faults.answer import CHANNEL, CONFIG, PARAMS, Answer
from tests.faults.seen import say
from tests.sockets.server_process import KEY, ServerProcess


class StreamedTests(SynchronousTestCase):
    """On a real server."""

    timeout = 120

    def server(self, config: str = CONFIG) -> ServerProcess:
        """One that runs."""
        server = ServerProcess(config, {"answers.py": CHANNEL})
        self.addCleanup(server.close)
        return server.start()

    def messages(self, server: ServerProcess) -> list[dict[str, Any]]:
        """Data of the topic's messages."""
        answer = httpx.get(f"{server.url}/channels/answers/history?roomId=lobby", timeout=60).json()
        return [one["data"] for one in answer["messages"]]

    def test_killed_and_cut(self) -> None:
        """Every reader has exactly the text, whoever comes late too, and history has it."""
        server = self.server()
        answer = Answer(tokens=200, rate=100, readers=10, cuts=20, kills=1)
        readers = asyncio.run(asyncio.wait_for(answer.run(server), 300))
        text = "".join(answer.words)
        self.assertEqual([reader.text == text for reader in readers], [True] * len(readers))
        connections = sum(reader.connections for reader in readers)
        self.assertGreater(connections, len(readers) + 5)
        [last] = self.messages(server)
        self.assertEqual((last["stream"]["state"], last["text"]), ("ended", text))
        say(
            f"{answer.tokens} tokens, {len(readers)} readers, {answer.cuts} cuts, a kill -9",
            f"all have the text, over {connections} connections",
        )
        server.assert_clean()

    def test_writer_gone(self) -> None:
        """A writer that says nothing any more, over a kill of the server: said once."""
        server = self.server(f"{CONFIG}[streams]\nmessage_lease_seconds = 3\n")

        async def begin() -> str:
            publisher = Publisher(server.url, KEY)
            stream = publisher.stream_async("answers", PARAMS, "answer")
            out = await stream.__aenter__()
            await out.write("He")
            await out.flush()
            return out.id

        name = asyncio.run(begin())
        server.kill()
        server.start()
        until = time.monotonic() + 60
        while self.messages(server)[-1]["stream"]["state"] == "open":
            self.assertLess(time.monotonic(), until)
            time.sleep(0.1)
        [last] = self.messages(server)
        self.assertEqual((last["stream"]["reason"], last["text"]), ("writer-gone", "He"))
        stream = Publisher(server.url, KEY).stream(
            "answers", PARAMS, "answer", id=name, resume=True
        )
        self.assertRaises(StreamEnded, stream.__enter__)
        server.assert_clean()
