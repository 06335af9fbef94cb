"""Publishing over one connection again and again, while what is allowed changes."""

from __future__ import annotations

import http.client
import json
import signal
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.sockets.server_process import FAST, KEY, KEYS, ServerProcess, wait_until

TYPED = """
from takotwist import define_channel

class Said: ...

room = {"type": "object", "properties": {"roomId": {"type": "string"}}, "required": ["roomId"]}
chat = define_channel("chat", params=room, messages={"msg": {"type": "string"}})
"""


class PublishAgainTests(SynchronousTestCase):
    """A program that posts the same request many times over one connection."""

    def setUp(self) -> None:
        self.server = ServerProcess(FAST + KEYS).start()
        self.addCleanup(self.server.close)
        self.client = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        self.addCleanup(self.client.close)

    def publish(self, body: Any, room: str = "a", key: str = KEY) -> tuple[int, Any]:
        """Publish, and what was answered; each header but Date is the same each time."""
        self.client.request(
            "POST",
            f"/channels/chat?roomId={room}",
            body=json.dumps(body),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        answer = self.client.getresponse()
        return answer.status, json.loads(answer.read())

    def test_answers(self) -> None:
        """The hundredth is answered as the first, each with its own message and id."""
        ids = []
        for number in range(100):
            status, stored = self.publish({"type": "msg", "data": f"{number:05}"})
            self.assertEqual((status, stored["data"]), (200, f"{number:05}"))
            ids.append(int(stored["id"]))
        self.assertEqual(ids, sorted(set(ids)))

    def test_rooms(self) -> None:
        """Messages to many rooms over one connection are each in their own; a wrong one says so."""
        for number in range(30):
            room, text = f"room-{number % 7}", "x" * number
            status, stored = self.publish({"type": "msg", "data": text}, room)
            self.assertEqual((status, stored["data"]), (200, text))
            if number % 10 == 5:
                status, refusal = self.publish({"type": "msg", "data": text}, "a&typo=1")
                self.assertEqual((status, refusal["code"]), (400, "params-invalid"))
        for room in range(7):
            self.client.request("GET", f"/channels/chat/history?roomId=room-{room}")
            messages = json.loads(self.client.getresponse().read())["messages"]
            lengths = [len(message["data"]) for message in messages]
            self.assertEqual(lengths, list(range(room, 30, 7)))

    def test_headers(self) -> None:
        """The short answer has the headers of the long one."""
        seen = []
        for _ in range(3):
            self.publish({"type": "msg", "data": "same"})
            self.client.request(
                "POST",
                "/channels/chat?roomId=a",
                body=b'{"type":"msg","data":1}',
                headers={"Authorization": f"Bearer {KEY}"},
            )
            answer = self.client.getresponse()
            answer.read()
            seen.append([name for name, _ in answer.getheaders()])
        self.assertEqual(sorted(seen[0]), sorted(seen[1]))
        self.assertEqual(sorted(seen[0]), sorted(seen[2]))

    def test_bad_body(self) -> None:
        """A bad body of the same length is refused with its reason, and the next is taken."""
        for _ in range(3):
            self.assertEqual(self.publish({"type": "msg", "data": "x"})[0], 200)
            status, refusal = self.publish({"typo": "msg", "data": "x"})
            self.assertEqual((status, refusal["code"]), (400, "body-invalid"))

    def test_another_key(self) -> None:
        """A key of the same length that is none of ours is refused, whatever came before."""
        self.assertEqual(self.publish({"type": "msg", "data": 1})[0], 200)
        wrong = KEY[:-1] + "X"
        self.assertEqual(self.publish({"type": "msg", "data": 1}, key=wrong)[0], 403)
        self.assertEqual(self.publish({"type": "msg", "data": 1})[0], 200)

    def test_key_withdrawn(self) -> None:
        """A key that is no longer in the configuration is refused on open connections too."""
        for _ in range(3):
            self.assertEqual(self.publish({"type": "msg", "data": 1})[0], 200)
        self.server.write_config(FAST + KEYS.replace(KEY, "another-key-0123456789"))
        self.server.reload()
        self.assertEqual(self.publish({"type": "msg", "data": 1})[0], 403)

    def test_configuration_in_an_editor(self) -> None:
        """An empty configuration at SIGHUP is not taken up: keys and all else stay."""
        self.assertEqual(self.publish({"type": "msg", "data": 1})[0], 200)
        self.server.write("tako.toml", "")
        self.server.signal(signal.SIGHUP)
        wait_until(lambda: "not reloaded:" in self.server.log, "a word of it")
        self.assertIn("is empty; what it said before stays", self.server.log)
        self.assertEqual(self.publish({"type": "msg", "data": 1})[0], 200)
        self.server.write_config(FAST + KEYS.replace(KEY, "another-key-0123456789"))
        self.server.reload()
        self.assertEqual(self.publish({"type": "msg", "data": 1})[0], 403)

    def test_channel_changed(self) -> None:
        """A message that the channel's new definition does not allow is refused."""
        for _ in range(3):
            self.assertEqual(self.publish({"type": "msg", "data": 1})[0], 200)
        (self.server.folder / "channels" / "rooms.py").write_text(TYPED)
        self.server.reload()
        self.assertEqual(self.publish({"type": "msg", "data": 1})[0], 400)
        self.assertEqual(self.publish({"type": "msg", "data": "text"})[0], 200)

    def test_rate(self) -> None:
        """The limit of a key counts the short way too."""
        self.server.write_config(KEYS + "rate = 0.001\nburst = 5\n")
        self.server.restart()
        statuses = [self.publish({"type": "msg", "data": 1})[0] for _ in range(8)]
        self.assertEqual(statuses, [200] * 5 + [429] * 3)
