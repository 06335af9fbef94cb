"""Publishing and reading back, over real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import Iterator

import h11
import httpx
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Publisher
from takotwist.errors import BodyInvalid, VerifyRejected
from tests.sockets.server_process import FAST, KEY, KEYS, ServerProcess

CHANNELS = """
from takotwist import define_channel

text = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
chat = define_channel("chat", messages={"msg": text})
"""

PATH = "/channels/chat"
BEARER = {"Authorization": f"Bearer {KEY}"}


def msg(text: object) -> dict[str, object]:
    return {"type": "msg", "data": {"text": text}}


class PublishTests(SynchronousTestCase):
    """One server with a publish key."""

    def setUp(self) -> None:
        self.server = ServerProcess(f"{FAST}{KEYS}", {"chat.py": CHANNELS})
        self.addCleanup(self.server.close)
        self.server.start()
        self.client = httpx.Client(base_url=self.server.url, headers=BEARER, timeout=60)
        self.addCleanup(self.client.close)
        self.addCleanup(lambda: self.server.assert_clean(KEY))

    def texts(self) -> list[str]:
        page = self.client.get(f"{PATH}/history?limit=1000").json()
        return [message["data"]["text"] for message in page["messages"]]

    def test_single(self) -> None:
        """One message is answered as it was stored."""
        answer = self.client.post(PATH, json=msg("hi"))
        self.assertEqual(answer.status_code, 200)
        stored = answer.json()
        self.assertEqual(list(stored), ["id", "channel", "type", "data"])
        self.assertEqual(self.client.get(f"{PATH}/history").json()["messages"], [stored])

    def test_all_or_none(self) -> None:
        """A batch with one bad message stores none, and the path of what is bad is named."""
        answer = self.client.post(PATH, json=[msg("a"), msg(1), msg("c")])
        self.assertEqual((answer.status_code, answer.json()["code"]), (400, "body-invalid"))
        self.assertIn("text", answer.json()["error"])
        self.assertEqual(self.texts(), [])
        answer = self.client.post(PATH, json=[msg("a"), msg("b"), msg("c")])
        ids = [int(message["id"]) for message in answer.json()]
        self.assertEqual(ids, sorted(ids))
        self.assertEqual(self.texts(), ["a", "b", "c"])

    def test_lines_while_the_body_is_sent(self) -> None:
        """Each line is stored, and answered, before the next is sent."""
        connection = h11.Connection(h11.CLIENT)
        headers = [("Host", "localhost"), ("Transfer-Encoding", "chunked")]
        headers += [("Content-Type", "application/x-ndjson"), *BEARER.items()]
        request = h11.Request(method="POST", target=PATH, headers=headers)
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=60) as one:

            def lines() -> Iterator[dict[str, object]]:
                body = b""
                while True:
                    event = connection.next_event()
                    if event is h11.NEED_DATA:
                        connection.receive_data(one.recv(65536))
                    elif isinstance(event, h11.Data):
                        *whole, body = (body + bytes(event.data)).split(b"\n")
                        yield from map(json.loads, whole)
                    elif isinstance(event, h11.EndOfMessage):
                        return

            one.sendall(connection.send(request) or b"")
            answers = lines()
            for text in ("a", 1, "c"):
                data = json.dumps(msg(text)).encode() + b"\n"
                one.sendall(connection.send(h11.Data(data=data)) or b"")
                answer = next(answers)
                if text == 1:
                    self.assertEqual(answer["code"], "body-invalid")
                else:
                    self.assertEqual(answer["data"], {"text": text})
                    self.assertEqual(self.texts()[-1], text)
            one.sendall(connection.send(h11.EndOfMessage()) or b"")
            self.assertEqual(list(answers), [])
        self.assertEqual(self.texts(), ["a", "c"])

    def test_idempotency_over_a_restart(self) -> None:
        """The same key gives the first answer again, also after a restart and a kill."""
        headers = {"Idempotency-Key": "once"}
        first = self.client.post(PATH, json=[msg("a"), msg("b")], headers=headers).json()
        self.server.restart()
        again = self.client.post(PATH, json=[msg("a"), msg("b")], headers=headers).json()
        self.server.kill()
        self.server.start()
        third = self.client.post(PATH, json=[msg("a"), msg("b")], headers=headers).json()
        self.assertEqual((again, third), (first, first))
        self.assertEqual(self.texts(), ["a", "b"])

    def test_wrong_key(self) -> None:
        """Without a key 401, with a wrong one 403; the private socket needs none."""
        anonymous = httpx.post(f"{self.server.url}{PATH}", json=msg("a"), timeout=60)
        self.assertEqual(anonymous.status_code, 401)
        wrong = {"Authorization": "Bearer wrong"}
        answer = self.client.post(PATH, json=msg("a"), headers=wrong)
        self.assertEqual(answer.status_code, 403)
        with self.server.private() as private:
            self.assertEqual(private.post(PATH, json=msg("a")).status_code, 200)
        mode = os.stat(self.server.private_socket).st_mode
        self.assertEqual(stat.S_IMODE(mode), 0o600)

    def test_history_pages(self) -> None:
        """Pages follow each other by their cursors, without gap or repetition."""
        self.client.post(PATH, json=[msg(str(n)) for n in range(25)])
        texts: list[str] = []
        cursor, more, pages = "0", True, 0
        while more:
            page = self.client.get(f"{PATH}/history?after={cursor}&limit=10").json()
            texts += [message["data"]["text"] for message in page["messages"]]
            cursor, more, pages = page["cursor"], page["more"], pages + 1
        self.assertEqual((pages, texts), (3, [str(n) for n in range(25)]))
        page = self.client.get(f"{PATH}/history?after={cursor}").json()
        self.assertEqual(page, {"messages": [], "cursor": cursor, "more": False})

    def test_publisher(self) -> None:
        """The Publisher of Python apps: by key and by the private socket, with and without
        asyncio, through a restart."""
        for publisher in (
            Publisher(self.server.url, key=KEY),
            Publisher(f"unix:{self.server.private_socket}"),
        ):
            stored = publisher.publish("chat", {}, "msg", {"text": "sync"})
            self.assertEqual(stored.data, {"text": "sync"})
            self.server.restart()
            stored = asyncio.run(publisher.publish_async("chat", {}, "msg", {"text": "async"}))
            self.assertEqual(stored.data, {"text": "async"})
            with self.assertRaises(BodyInvalid) as bad:
                publisher.publish("chat", {}, "msg", {"text": 1})
            self.assertIn("text", str(bad.exception))
        self.assertEqual(self.texts(), ["sync", "async"] * 2)
        with self.assertRaises(VerifyRejected):
            Publisher(self.server.url, key="wrong").publish("chat", {}, "msg", {"text": "x"})
