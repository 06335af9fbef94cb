"""Chromium over WebTransport is back soon after a server was killed and started again."""

from __future__ import annotations

import json
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.driven import Browser
from tests.browser.http3_server import Http3Server
from tests.browser.test_webtransport_channels import PAGE
from tests.faults.seen import say

#: From the moment in which the server serves again, beside what the tries are apart.
SECONDS = 6.0

#: Each wait for a try is twice as long as the one before, and none is drawn by lot: so none is
#: longer than the server was away.
EVEN = "<script>Math.random = () => 0.5;</script>"


class KillTests(SynchronousTestCase):
    """One page, which only listens."""

    def setUp(self) -> None:
        http3 = Http3Server.of('pages = "pages"')
        self.server = server = http3.process
        self.addCleanup(server.close)
        server.write("pages/index.html", PAGE.read_text().replace("<script", f"{EVEN}<script", 1))
        server.write("pages/config.json", json.dumps({**http3.settings, "room": "a"}))
        server.start()
        self.browser = Browser()
        self.addCleanup(self.browser.close)
        self.page = self.browser.open(f"{server.url}/")

    def test_back(self) -> None:
        """Three times, each after another silence."""
        page, took, beyond = self.page, list[float](), list[float]()
        for count, silence in enumerate((0.0, 3.0, 8.0)):
            page.until("window.room?.state === 'open' && window.club.state === 'open'")
            # After a message the first wait is a short one again.
            with self.server.private() as private:
                body = {"type": "msg", "data": {"n": count}}
                private.post("/channels/chat?roomId=a", json=body).raise_for_status()
            page.until(f"window.seen.length === {count + 1}")
            time.sleep(silence)
            page.run("window.counted = window.states.length")
            killed = time.monotonic()
            self.server.kill()
            self.server.start()
            served = time.monotonic()
            page.until("window.states.length > window.counted")
            page.until("window.room.state === 'open'")
            took.append(time.monotonic() - served)
            beyond.append(took[-1] - (served - killed))
        say("back after kill -9, in seconds", ", ".join(f"{one:.2f}" for one in took))
        self.assertLess(max(beyond), SECONDS)
        self.server.assert_clean("Bearer member")
