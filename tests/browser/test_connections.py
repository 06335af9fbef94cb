"""What a page costs the server, and that nothing is left of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

from tests.browser.driven import Page
from tests.browser.served import BLANK, PAGES, ServedCase
from tests.sockets.server_process import FAST

#: Opens a channel for each room and waits until all are open.
_OPEN = """(async () => {
  const { channel } = await import("/_tako/client.js");
  window.got = [];
  window.channels = Array.from({ length: 20 }, (_, room) => {
    const one = channel("chat", { params: { roomId: String(room) }, transport: "%s" });
    one.subscribe(({ data }) => got.push([room, data]));
    return one;
  });
  const open = (one) => new Promise((done) => one.onState((state) => state === "open" && done()));
  await Promise.all(channels.map(open));
})()"""


class ConnectionTests(ServedCase):
    """A page with twenty channels."""

    config = FAST + PAGES
    files: ClassVar = {"pages/index.html": BLANK}
    tls = True

    def topics(self) -> list[dict[str, Any]]:
        """As `tako channels --json` tells an operator."""
        tako = Path(sys.executable).with_name("tako")
        said = subprocess.check_output([tako, "channels", "--json"], cwd=self.server.folder)
        return list(json.loads(said)["topics"])

    def page(self, transport: str) -> Page:
        """Its twenty channels are open."""
        page = self.browser.open(self.server.tls_url)
        page.run(_OPEN % transport)
        return page

    def publish_to_each(self) -> None:
        """One message a room, which says where it went."""
        with self.server.private() as private:
            for room in range(20):
                private.post(f"/channels/chat?roomId={room}", json={"type": "msg", "data": room})

    def test_one_connection(self) -> None:
        """Twenty channels share one WebSocket, and each gets its own room's messages."""
        page = self.page("auto")
        self.assert_connected(1)
        topics = self.topics()
        self.assertEqual([topic["subscribers"] for topic in topics], [1] * 20)
        self.publish_to_each()
        got = page.until("got.length >= 20 && got")
        self.assertEqual(sorted(got), [[room, room] for room in range(20)])
        self.assertEqual(page.errors, [])

    def test_sse_over_one_http2_connection(self) -> None:
        """Twenty event streams are open at the same time, which HTTP/1.1 would not allow."""
        page = self.page("sse")
        self.publish_to_each()
        got = page.until("got.length >= 20 && got")
        self.assertEqual(sorted(got), [[room, room] for room in range(20)])
        self.assertEqual(
            page.run("performance.getEntriesByType('navigation')[0].nextHopProtocol"), "h2"
        )

    def test_leaving(self) -> None:
        """A tab that is closed, one that goes to another page and one that closes its
        channels leave no connection and no subscription on the server."""
        for transport in ("auto", "sse"):
            closed, gone_on, tidy = (self.page(transport) for _ in range(3))
            self.assert_connected(3 if transport == "auto" else 60)
            closed.close()
            gone_on.run("void (location.href = 'about:blank')")
            tidy.run("channels.forEach((one) => one.close())")
            self.assert_connected(0)
            self.assertEqual(self.topics(), [])
            tidy.close()
        self.server.assert_clean()
