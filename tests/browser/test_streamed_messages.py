"""The page's hook of streamed messages in Chromium: cuts, a reload, a late reader, a cancel."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import ClassVar

import httpx

from tests.browser.driven import Page
from tests.browser.served import PAGES, ServedCase
from tests.docs.page import blocks
from tests.sockets.server_process import FAST, KEY, KEYS

CLIENT = Path(__file__).parents[2] / "clients" / "js"

#: Who is let in: everybody, also to end an answer.
CHANNELS = """
from takotwist import define_channel

room = {"type": "object", "properties": {"roomId": {"type": "string"}}, "required": ["roomId"]}
chat = define_channel("chat", params=room)

@chat.verify(header=None)
def verify(request):
    return True
"""

#: The component of the documentation, in a page.
MAIN = """
import { createRoot } from "react-dom/client";
import { Answer } from "./answer.tsx";
createRoot(document.getElementById("root")!).render(<Answer roomId="a" />);
"""

PAGE = """<!doctype html><link rel="icon" href="data:,"><title>answer</title>
<div id="root"></div><script type="module" src="main.js"></script>
"""

_BUILD = """
import {{ build }} from {esbuild};
await build({{
  entryPoints: ["pages/main.tsx"],
  outfile: "pages/main.js",
  bundle: true,
  format: "esm",
  jsx: "automatic",
  nodePaths: [{modules}],
  alias: {{ "takotwist/react-streams": {hook} }},
  define: {{ "process.env.NODE_ENV": '"production"' }},
}});
"""


class HookTests(ServedCase):
    config = FAST + KEYS + PAGES
    files: ClassVar = {
        "channels/rooms.py": CHANNELS,
        "pages/index.html": PAGE,
        "pages/main.tsx": MAIN,
    }

    def setUp(self) -> None:
        super().setUp()
        [component] = [
            block.text for block in blocks("tsx", "howto/react.md") if "useStream" in block.text
        ]
        self.server.write("pages/answer.tsx", component)
        build = _BUILD.format(
            esbuild=json.dumps(str(CLIENT / "node_modules" / "esbuild" / "lib" / "main.js")),
            modules=json.dumps(str(CLIENT / "node_modules")),
            hook=json.dumps(str(CLIENT / "src" / "react_streams.ts")),
        )
        subprocess.run(
            ["node", "--input-type=module", "-e", build], cwd=self.server.folder, check=True
        )
        self.number = 0

    def page(self) -> Page:
        return self.browser.open(f"{self.server.url}/")

    def ask(self, method: str, json: object, **headers: str) -> None:
        answer = httpx.request(
            method,
            f"{self.server.url}/_tako/channels/chat/streams/b7c1?roomId=a",
            json=json,
            headers={"Authorization": f"Bearer {KEY}", **headers},
            timeout=30,
        )
        self.assertLess(answer.status_code, 300, answer.text)

    def open(self) -> None:
        self.ask("PUT", {"type": "answer"}, **{"Idempotency-Key": "k1"})

    def write(self, *tokens: str, **more: str) -> None:
        producer = {"Producer-Id": "writer", "Producer-Epoch": "0"}
        self.ask("POST", tokens, **producer, **{"Producer-Seq": str(self.number)}, **more)
        self.number += 1

    def shows(self, page: Page, text: str) -> None:
        page.until(f"document.querySelector('p')?.textContent === {json.dumps(text)}")

    def test_written(self) -> None:
        """The server killed, the page reloaded, a second one that comes late: each shows exactly
        the text, and no button once it has ended."""
        first = self.page()
        first.until("document.readyState === 'complete'")
        self.open()
        self.write("one ", "zwö ")
        self.shows(first, "one zwö ")
        first.reload()
        self.shows(first, "one zwö ")
        self.server.kill()
        self.server.start()
        self.write("three ")
        late = self.page()
        for page in (late, first):
            self.shows(page, "one zwö three ")
            self.assertTrue(page.run("document.querySelector('button') !== null"))
        self.write("four", **{"Stream-Closed": "true"})
        for page in (first, late):
            self.shows(page, "one zwö three four")
            page.until("document.querySelector('button') === null")
            self.assertEqual(page.errors, [])

    def test_cancelled(self) -> None:
        """The button of one page ends it for all."""
        pages = [self.page(), self.page()]
        self.open()
        self.write("one ")
        for page in pages:
            self.shows(page, "one ")
        pages[0].run("document.querySelector('button').click()")
        for page in pages:
            page.until("document.querySelector('button') === null")
            self.shows(page, "one ")
            self.assertEqual(page.errors, [])
