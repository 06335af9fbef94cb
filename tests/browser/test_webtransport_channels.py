"""Channels over WebTransport: Chromium, our JavaScript client, and the real server."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.driven import Browser
from tests.browser.http3_server import Http3Server
from tests.sockets.server_process import wait_until

PAGE = Path(__file__).with_name("webtransport_channels.html")


class ChannelTests(SynchronousTestCase):
    """One page, one session."""

    def setUp(self) -> None:
        http3 = Http3Server.of('pages = "pages"')
        self.server = server = http3.process
        self.addCleanup(server.close)
        server.write("pages/index.html", PAGE.read_text())
        server.write("pages/config.json", json.dumps({**http3.settings, "room": "a"}))
        server.start()
        self.browser = Browser()
        self.addCleanup(self.browser.close)
        self.page = self.browser.open(f"{server.url}/")

    def publish(self, first: int, count: int) -> None:
        """Numbered messages, from the server's side."""
        body = [{"type": "msg", "data": {"n": n}} for n in range(first, first + count)]
        with self.server.private() as private:
            answer = private.post("/channels/chat?roomId=a", content=json.dumps(body))
        self.assertEqual(answer.status_code, 200, answer.text)

    def test_page(self) -> None:
        """It receives, publishes, shows its credentials, and resumes after stop and kill -9."""
        page = self.page
        page.until("window.room?.state === 'open' && window.club.state === 'open'")
        page.until("window.refused.state === 'closed'")
        self.assertEqual(page.run("window.refused.error.code"), "verify-rejected")
        # One session for the topics that can share one, and nothing by WebSocket or SSE.
        with self.server.private() as private:
            metrics = private.get("/_tako/metrics").text
        self.assertIn('tako_connections{transport="websocket"} 0.0', metrics)
        self.assertIn('tako_connections{transport="mux"} 0.0', metrics)
        self.assertIn('tako_connections{transport="sse"} 0.0', metrics)
        self.publish(0, 200)
        page.until("window.seen.length === 200")
        stored = page.run("window.room.publish('msg', { n: 200 })")
        page.until("window.seen.length === 201")
        self.assertEqual(page.run("window.room.cursor"), stored)
        self.server.stop()
        page.until("window.room.state === 'reconnecting'")
        self.server.start()
        self.publish(201, 100)
        page.until("window.seen.length === 301")
        self.server.kill()
        self.server.start()
        self.publish(301, 100)
        page.until("window.seen.length === 401")
        self.assertEqual(page.run("window.seen"), list(range(401)))
        # What Chromium itself says of the tries while the server was away is no error of ours.
        tries = "Failed to establish a connection to "
        self.assertEqual([said for said in page.errors if not said.startswith(tries)], [])
        page.close()
        wait_until(lambda: self.server.connected == 0, "no connection is left")
        self.server.assert_clean("Bearer member")
