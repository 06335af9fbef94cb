"""The example works in a browser as its first lines promise."""

from __future__ import annotations

import runpy
from pathlib import Path

from twisted.internet import reactor
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.static import Data

from tests.browser.chromium import Chromium, Report
from tests.browser.test_webtransport import TIMEOUT

EXAMPLE = Path(__file__).parents[2] / "examples" / "streams" / "webtransport.py"
PAGE = Path(__file__).with_name("webtransport_example_page.html")


class ExampleTests(TestCase):
    """`examples/streams/webtransport.py`."""

    timeout = TIMEOUT + 10

    async def test_page(self) -> None:
        """The page shows the server's words, and the echoes of a datagram and a stream."""
        page, report = Resource(), Report()
        page.putChild(b"watch", Data(PAGE.read_bytes(), "text/html; charset=utf-8"))
        page.putChild(b"report", report)
        web, server = runpy.run_path(str(EXAMPLE))["serve"](reactor, page, 0, 0)
        self.addCleanup(web.stopListening)
        url = f"http://127.0.0.1:{web.getHost().port}/watch"
        chromium = Chromium(reactor, url, Path(self.mktemp()))
        shown = await report.arrived.addTimeout(TIMEOUT, reactor)  # type: ignore[arg-type]
        self.assertIn("server says: it is ", shown)
        self.assertIn("datagram: hello\n", shown)
        self.assertIn("stream: hello\n", shown)
        await chromium.stop()
        await server.stop()
