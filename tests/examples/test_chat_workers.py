"""The chat example with two workers: who is logged in at one is logged in at the other."""

from __future__ import annotations

import httpx
from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.events import Message
from takotwist.client.sync import Subscription, subscribe
from tests.browser.example_server import example_server

#: So many connections that each worker has some: each goes to the one with the fewest.
SUBSCRIBERS = 4


class ChatWorkersTests(SynchronousTestCase):
    """``./start --workers 2``."""

    def test_one_room(self) -> None:
        """Whatever is said through one worker is read by the subscribers of both, and is kept once
        in the app's own table."""
        server = example_server("chat", arguments=("--workers", "2"))
        self.addCleanup(server.close)
        server.start()
        login = httpx.post(f"{server.url}/login", json={"name": "ada"}, timeout=60)
        cookie = {"Cookie": f"chat_session={login.cookies['chat_session']}"}
        everybody: list[Subscription] = []
        for _ in range(SUBSCRIBERS):
            one = subscribe(
                server.url,
                "rooms",
                params={"roomId": "lobby"},
                cursor="0",
                credentials=cookie,
                transport="websocket",
            )
            self.addCleanup(one.close)
            everybody.append(one)
        for number, one in enumerate(everybody):
            one.publish("said", {"text": f"from {number}"}, timeout=60)
        texts = [f"from {number}" for number in range(SUBSCRIBERS)]
        for one in everybody:
            seen = []
            while len(seen) < len(texts):
                event = one.next(timeout=60)
                assert isinstance(event, Message)
                seen.append(event.data["text"])
            self.assertEqual(seen, texts)
        kept = httpx.get(f"{server.url}/messages/lobby", headers=cookie, timeout=60).json()
        self.assertEqual([one["text"] for one in kept], texts)
        server.assert_clean()
