"""The checks that the page of webhooks shows take what the server sends, and nothing else."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.codecs.webhook import Happening, read_secret, standard
from tests.docs.page import DOCS, blocks_of

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
OTHER = "whsec_YW5vdGhlciBzZWNyZXQgb2YgMjQgYnl0ZXMu"

_PAGE = DOCS / "howto" / "webhooks.md"


class CheckTests(SynchronousTestCase):
    """One request, its body changed, its time long ago, and another secret."""

    def setUp(self) -> None:
        now = time.time()
        happening = Happening(int(now * 1_000_000), "topic.occupied", b'{"topic":"news"}')
        secrets = read_secret(OTHER), read_secret(SECRET)
        self.body, self.headers = standard(secrets, happening, now)
        _, old = standard(secrets, happening, now - 3600)
        self.cases: list[tuple[str, Any, bytes, bool]] = [
            (SECRET, self.headers, self.body, True),
            (OTHER, self.headers, self.body, True),
            (SECRET, self.headers, self.body + b" ", False),
            (SECRET, old, self.body, False),
            ("whsec_" + "A" * 40, self.headers, self.body, False),
        ]

    def block(self, language: str) -> str:
        [one] = [
            block.text
            for block in blocks_of(_PAGE)
            if block.language == language and "verified" in block.text
        ]
        return one

    def test_python(self) -> None:
        page: dict[str, Any] = {}
        exec(self.block("python"), page)
        for secret, headers, body, good in self.cases:
            self.assertIs(page["verified"](secret, headers, body), good)

    def test_javascript(self) -> None:
        cases = [[secret, dict(headers), body.decode()] for secret, headers, body, _ in self.cases]
        program = (
            self.block("js")
            + f"\nconsole.log(JSON.stringify({json.dumps(cases)}.map((one) => verified(...one))));"
        )
        ran = subprocess.run(
            ["node", "--input-type=module", "-e", program],
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual(json.loads(ran.stdout), [good for *_, good in self.cases])
