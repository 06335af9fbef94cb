"""The client for scripts, over real sockets."""

from __future__ import annotations

import threading

from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.errors import NoAnswer, SubscriptionClosed
from takotwist.client.events import Message
from takotwist.client.machine.link import State
from takotwist.client.sync import Subscription, history, subscribe
from takotwist.errors import VerifyRejected
from tests.client.fake_server import FakeServer
from tests.sockets.server_process import wait_until

A = {"roomId": "a"}


def _read(chat: Subscription, ended: list[int]) -> None:
    ended.append(len(list(chat)))


class SyncTests(SynchronousTestCase):
    """`takotwist.client.sync` against a small server."""

    def test_reads_and_publishes(self) -> None:
        """A plain loop gets what was and what comes, and publishes within."""
        with FakeServer() as server:
            server.publish("0")
            got = []
            with subscribe(server.url, "chat", params=A, cursor="0") as chat:
                for event in chat:
                    assert isinstance(event, Message)
                    got.append(event.data["text"])
                    if len(got) == 5:
                        break
                    chat.publish("msg", {"text": str(len(got))})
                self.assertEqual(chat.cursor, "105")
                self.assertIs(chat.state, State.OPEN)
            self.assertEqual(got, ["0", "1", "2", "3", "4"])
            self.assertIs(chat.state, State.CLOSED)

    def test_timeout(self) -> None:
        """Waiting can be bounded, and nothing is lost by it."""
        with FakeServer() as server, subscribe(server.url, "chat", params=A, cursor="0") as chat:
            self.assertRaises(TimeoutError, chat.next, 0.05)
            server.publish("one")
            event = chat.next(timeout=10)
            assert isinstance(event, Message)
            self.assertEqual(event.data, {"text": "one"})

    def test_refused(self) -> None:
        """A refusal is raised in the loop, and closing after it is fine."""
        with FakeServer() as server:
            server.refusals.append((4403, "verify-rejected"))
            with subscribe(server.url, "chat", params=A) as chat:
                self.assertRaises(VerifyRejected, list, chat)

    def test_history(self) -> None:
        """Pages of what is kept; a server that is not there is said to be."""
        with FakeServer() as server:
            for text in ("one", "two", "three"):
                server.publish(text)
            first = history(server.url, "chat", params=A, limit=2)
            self.assertEqual([one.data["text"] for one in first.messages], ["one", "two"])
            self.assertTrue(first.more)
            rest = history(server.url, "chat", params=A, after=first.cursor)
            self.assertEqual([one.data["text"] for one in rest.messages], ["three"])
            self.assertFalse(rest.more)
            url = server.url
        self.assertRaises(NoAnswer, history, url, "chat", params=A)

    def test_closed(self) -> None:
        """Once closed nothing can be asked, and no thread is left."""
        with FakeServer() as server:
            chat = subscribe(server.url, "chat", params=A)
            chat.close()
            chat.close()
            self.assertRaises(SubscriptionClosed, chat.publish, "msg", 1)
            names = [thread.name for thread in threading.enumerate()]
            self.assertNotIn("takotwist-client", names)

    def test_closed_by_another_thread(self) -> None:
        """Who reads meanwhile comes to the end, whether it waits or has a message in its hands."""
        with FakeServer() as server:
            for number in range(500):
                server.publish(str(number))
            for _ in range(10):
                chat = subscribe(server.url, "chat", params=A, cursor="0")
                ended: list[int] = []
                reader = threading.Thread(target=_read, args=(chat, ended), daemon=True)
                reader.start()
                wait_until(lambda chat=chat: chat.cursor not in (None, "0"), "a message")
                chat.close()
                reader.join(60)
                self.assertEqual(len(ended), 1)
                self.assertRaises(StopIteration, chat.next)

    def test_bad_url(self) -> None:
        """A URL that is none is refused at once and leaves no thread."""
        self.assertRaises(ValueError, subscribe, "nowhere", "chat")
        names = [thread.name for thread in threading.enumerate()]
        self.assertNotIn("takotwist-client", names)
