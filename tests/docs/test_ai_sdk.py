"""The page of the AI SDK: its server, and the SDK's own chat, through cuts, deaths and reloads."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.node_packages import give_packages
from tests.docs.page import DOCS, one
from tests.docs.running import Running, eventually
from tests.sockets.cut_once import CutOnce
from tests.sockets.server_process import free_port

PAGE = "howto/ai-sdk.md"
PROGRAMS = Path(__file__).with_name("ai_sdk")

WHOLE = "".join(f"wörd {number}, " for number in range(40))


class Page:
    """A page that is open.

    :ivar shown: what it has shown, oldest first.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.shown: list[dict[str, Any]] = [{"status": "", "text": []}]
        self._log = (folder / "page.log").open("ab")
        self._process = subprocess.Popen(
            ["node", "page.mjs", *arguments],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.shown.append(json.loads(line))

    def do(self, what: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()

    @property
    def text(self) -> str:
        """Of its answer."""
        return "".join(self.shown[-1]["text"])

    def shows(self, words: int) -> bool:
        return f"wörd {words}, " in self.text

    def whole(self) -> bool:
        last = self.shown[-1]
        return bool(last["status"] == "ready" and last["text"])

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reading.join()
        self._log.close()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


class AiSdkTests(SynchronousTestCase):
    timeout = 120

    def setUp(self) -> None:
        self.running = Running(DOCS / PAGE)
        self.addCleanup(self.running.close)
        folder = self.running.folder
        give_packages(folder, "streams")
        for name in ("model.mjs", "page.mjs"):
            shutil.copy(PROGRAMS / name, folder)
        self.port = free_port()
        text = (folder / "chat.mjs").read_text().replace("listen(3000)", f"listen({self.port})")
        self.running.write("chat.mjs", self.running.ours(text))
        self.tako = self.running.serve(one(PAGE, "serve").text)
        self.chat = self.running.start("exec node chat.mjs", "chat.log", errors_too=True)
        eventually(self.listens, "the chat's server listens")

    def listens(self) -> bool:
        asked = f"curl -s -o /dev/null http://127.0.0.1:{self.port}/ && echo yes"
        return "yes" in self.running.run(asked, check=False)

    def page(self, streams: str = "") -> Page:
        page = Page(self.running.folder, f"http://127.0.0.1:{self.port}", "c1", streams)
        self.addCleanup(page.close)
        return page

    def until(self, page: Page, true: Any, what: str) -> None:
        try:
            eventually(true, what)
        except AssertionError as late:
            raise AssertionError(
                f"{late}: {page.shown[-1]}, {self.running.said('page.log')}"
            ) from None

    def test_cut(self) -> None:
        """Cut in the middle of a word, and the server killed: each page has exactly the text."""
        relay = CutOnce(self.running.port, b"rd 7, ", b"rd 30, ")
        self.addCleanup(relay.close)
        first = self.page(f"http://127.0.0.1:{relay.port}")
        first.do("ask")
        self.until(first, lambda: first.shows(8), "the first words")
        second = self.page()
        second.do("resume")
        self.until(second, lambda: second.shows(12), "another device reads along")
        self.running.kill(self.tako)
        self.running.serve("tako serve")
        self.running.write("go", "")
        for page in (first, second):
            self.until(page, page.whole, "the answer")
            self.assertEqual(page.text, WHOLE)
            self.assertEqual(len(page.shown[-1]["text"]), 1)
            self.assertNotIn("error", [one["status"] for one in page.shown])
        self.assertEqual(relay.cuts, 2)

    def test_reload(self) -> None:
        """A page that is opened anew has the answer from its beginning, and none after its end."""
        first = self.page()
        first.do("ask")
        self.until(first, lambda: first.shows(5), "the first words")
        first.close()
        again = self.page()
        again.do("resume")
        self.until(again, lambda: again.shows(5), "the words before")
        self.running.write("go", "")
        self.until(again, again.whole, "the answer")
        self.assertEqual(again.text, WHOLE)
        late = self.page()
        late.do("resume")
        late.do("resume")
        self.until(late, lambda: late.shown[-1]["status"] == "ready", "nothing to resume")
        self.assertEqual((late.text, late.shown[-1].get("error")), ("", None))

    def test_cancel(self) -> None:
        """The cancel of a page aborts the model."""
        page = self.page()
        page.do("ask")
        self.until(page, lambda: page.shows(3), "the first words")
        page.do("cancel")
        self.until(page, lambda: "aborted" in self.running.said("aborted"), "the model stops")
        self.assertFalse(page.shows(21))
