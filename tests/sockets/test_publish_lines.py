"""Many lines in one read: stored together, answered each for itself and in order."""

from __future__ import annotations

import http.client
import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.sockets.server_process import FAST, KEY, KEYS, ServerProcess

CHANNELS = """
from takotwist import define_channel

words = define_channel("words", messages={"word": {"type": "string"}})
"""


class PublishLinesTests(SynchronousTestCase):
    """One request with many lines."""

    def publish(self, config: str, lines: list[str]) -> list[Any]:
        """What is answered to `lines`, sent at once to a server with `config`."""
        server = ServerProcess(config, {"words.py": CHANNELS}).start()
        self.addCleanup(server.close)
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        self.addCleanup(client.close)
        client.request(
            "POST",
            "/channels/words",
            body="\n".join([*lines, ""]),
            headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/x-ndjson"},
        )
        answer = client.getresponse().read().splitlines()
        server.assert_clean(KEY)
        return list(map(json.loads, answer))

    def test_bad_among_good(self) -> None:
        """A line that is refused, for its form or its payload, costs the others nothing."""
        good = [f'{{"type":"word","data":"{number}"}}' for number in range(300)]
        lines = list(good)
        lines[7] = "no json"
        lines[8] = '{"type":"word","data":8}'
        lines[250] = '{"type":"other","data":"x"}'
        answers = self.publish(FAST + KEYS, lines)
        bad = [number for number, answer in enumerate(answers) if "code" in answer]
        self.assertEqual(bad, [7, 8, 250])
        self.assertEqual({answers[number]["code"] for number in bad}, {"body-invalid"})
        stored = [(number, one) for number, one in enumerate(answers) if "id" in one]
        self.assertEqual([one["data"] for _, one in stored], [str(number) for number, _ in stored])
        ids = [int(one["id"]) for _, one in stored]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertEqual(len(answers), 300)

    def test_rate(self) -> None:
        """Of lines beyond the key's rate, those that still fit are stored."""
        lines = ['{"type":"word","data":"x"}'] * 8
        answers = self.publish(KEYS + "rate = 0.001\nburst = 5\n", lines)
        self.assertEqual(["id" in one for one in answers], [True] * 5 + [False] * 3)
        self.assertEqual({one["code"] for one in answers[5:]}, {"rate-limited"})
