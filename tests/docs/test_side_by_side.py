"""The page of things that are done in more than one place has the code's own numbers."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from takotwist.flow.back_pressure import MAX_FRAMES_IN_FLIGHT, MAX_FRAMES_QUEUED
from takotwist.server.config.config import Config
from takotwist.streams.http.http1 import MAX_HELD
from takotwist.streams.websocket.config import WebSocketConfig
from takotwist.streams.websocket.handler import MAX_QUEUED_BYTES
from takotwist.transports.publish.ndjson import MAX_LINES_IN_FLIGHT
from tests.docs.page import DOCS, ROOT

PAGE = (DOCS / "architecture" / "side-by-side.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The table of a section, without its head."""
    _, _, rest = PAGE.partition(f"\n## {heading}\n")
    section = rest.partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def numbers(text: str) -> list[int]:
    """All the numbers in `text`."""
    return [int(digits) for digits in re.findall(r"\d+", text)]


class SideBySideTests(SynchronousTestCase):
    """``docs/architecture/side-by-side.md``."""

    def test_bounds(self) -> None:
        """Each bound is the one of the code."""
        mebibytes, kibibytes = MAX_QUEUED_BYTES >> 20, MAX_HELD >> 10
        self.assertEqual(
            [numbers(cells[0]) for cells in rows('Bounds for "read no more of this client"')],
            [
                [MAX_FRAMES_IN_FLIGHT],
                [MAX_FRAMES_QUEUED],
                [WebSocketConfig().max_queued, mebibytes],
                [MAX_LINES_IN_FLIGHT],
                [kibibytes],
            ],
        )

    def test_keepalives(self) -> None:
        """The intervals are those of the configuration, and each class or method is where the
        page says it is."""
        table = rows("Keepalives")
        finds = [numbers(cells[2]) for cells in table]
        config = Config()
        self.assertEqual(finds[1], [config.lifecycle.keepalive_interval_seconds])
        self.assertEqual(finds[2], [config.live.ping_interval_seconds])
        for cells in table:
            name, file = re.findall(r"`([^`]+)`", cells[0])
            source = (ROOT / "takotwist" / file).read_text()
            self.assertRegex(source, rf"(?m)^ *(class|def) {name}\b", cells[0])

    def test_all_keepalives(self) -> None:
        """A file that times silence is one that the page names, or uses a rule that it names."""
        named = {re.findall(r"`([^`]+)`", cells[0])[1] for cells in rows("Keepalives")}
        for path in (ROOT / "takotwist").rglob("*.py"):
            source, file = path.read_text(), str(path.relative_to(ROOT / "takotwist"))
            if re.search(r"def (_beat|_quiet|keep_alive)\b|class Keepalive\b", source):
                uses = re.search(r"= (Pings|Comments)\(", source) is not None
                self.assertTrue(file in named or uses, file)
