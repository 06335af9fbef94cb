"""Pages that ask and never report, never read, or come and go without end: what is kept for
each is bounded, and the others notice nothing."""

from __future__ import annotations

import contextlib
import time

from websockets.exceptions import ConnectionClosed

from tests.faults.hostile import MIB, HostileCase
from tests.faults.live_client import FUNCTIONS, LivePage
from tests.sockets.server_process import FAST, ServerProcess, wait_until

LIVE = "[live]\ncall_rate = 0\nreconnect_timeout_seconds = 2\nping_interval_seconds = 2\n"


class LiveClientTests(HostileCase):
    """By WebSocket, with frames written by hand."""

    def setUp(self) -> None:
        super().setUp()
        self.server.close()
        self.server = ServerProcess(FAST + LIVE)
        self.addCleanup(self.server.close)
        self.server.write("functions/live.py", FUNCTIONS)
        self.server.start()

    def _page(self, function: str) -> tuple[LivePage, str]:
        page = LivePage(self.server)
        name = page.get(function)
        page.attach(name)
        return page, name

    def _pour(self, page: LivePage, frame: str, name: str, times: int, **more: object) -> None:
        """Send, and read nothing; until all is sent, or the server does not take it."""
        assert page.wire is not None
        page.wire.socket.settimeout(5)
        with contextlib.suppress(ConnectionClosed, OSError):
            for _ in range(times):
                page.send(name, frame, "x" * 100, **more)

    def test_never_reports(self) -> None:
        """Who asks and reports nothing, and reads nothing, is let go when its credit is spent."""
        with self.bearing("5 pages with 50,000 requests each, which report nothing", most=20 * MIB):
            for _ in range(5):
                page, name = self._page("onChannel")
                self._pour(page, "send", name, 50_000, ack=True)
        wait_until(lambda: self.server.connected == 0, "that none is left")

    def test_subscribes_for_ever(self) -> None:
        """The same with requests that need no credit."""
        with self.bearing(
            "5 members that subscribe 50,000 times, and report nothing", most=20 * MIB
        ):
            for _ in range(5):
                page, name = self._page("onGroup")
                self._pour(page, "subscribe", name, 50_000, kind="text", ack=True)
        wait_until(lambda: self.server.connected == 0, "that none is left")

    def test_members_that_do_not_read(self) -> None:
        """Members of a group that do not read, while much is published: each is bounded."""
        with self.bearing("20 members that read nothing of 30 MB", most=60 * MIB):
            pages = []
            for _ in range(20):
                page, name = self._page("onGroup")
                page.send(name, "subscribe", kind="text", ack=True)
                page.until("live", do="ack")
                pages.append(page)
            for _ in range(30):
                self.assertEqual(pages[0].call("onPublish", 100, 10_000, False).status_code, 200)
            time.sleep(1)

    def test_comes_and_goes(self) -> None:
        """Pages that get an object and never come, or come and are cut: nothing is left."""
        with self.bearing("200 pages that never come, and 50 that are cut", most=20 * MIB):
            for _ in range(200):
                LivePage(self.server).get("onChannel")
            for _ in range(50):
                page, _ = self._page("onChannel")
                page.cut()
        wait_until(lambda: self._left() == 0, "that no page is left")

    def _left(self) -> float:
        with self.server.private() as private:
            text = private.get("/_tako/metrics").text
        [line] = [one for one in text.splitlines() if one.startswith("tako_live_sessions ")]
        return float(line.rpartition(" ")[2])
