"""Tabs that share one connection: Chromium, our JavaScript client, and the real server."""

from __future__ import annotations

from typing import ClassVar

from tests.browser.driven import Page
from tests.browser.served import PAGES, ServedCase
from tests.sockets.server_process import FAST

#: A room that is shared with the other tabs of one user.
PAGE = """<!doctype html><link rel="icon" href="data:,"><title>tabs</title>
<script type="module">
  import { createClient } from "/_tako/client.js";
  import { sharedTabs } from "/_tako/tabs.js";

  const identity = new URLSearchParams(location.search).get("user") ?? "ada";
  const client = createClient({ tabs: sharedTabs({ identity }) });
  const room = client.channel("chat", { params: { roomId: "a" } });
  const seen = [];
  room.subscribe((message) => seen.push(message.type === "msg" ? message.data : message.type));
  const leads = async () => {
    const { held } = await navigator.locks.query();
    // Each tab has a lock of its own, and who leads the group's.
    return held.filter(({ name }) => name.split(" ").length === 3).length;
  };
  Object.assign(window, { client, room, seen, leads });
</script>
"""


class TabTests(ServedCase):
    """One user, one connection, whatever becomes of the tab that has it."""

    config = FAST + PAGES
    files: ClassVar = {"pages/index.html": PAGE}

    def setUp(self) -> None:
        super().setUp()
        self.published = 0

    def tab(self, user: str = "ada") -> Page:
        """One more tab, in which the room is open."""
        page = self.browser.open(f"{self.server.url}/?user={user}")
        page.until("window.room?.state === 'open'")
        return page

    def publish(self, count: int) -> None:
        """The next numbers, from the server's side."""
        with self.server.private() as private:
            for _ in range(count):
                body = {"type": "msg", "data": self.published}
                answer = private.post("/channels/chat?roomId=a", json=body)
                self.assertEqual(answer.status_code, 200, answer.text)
                self.published += 1

    def assert_whole(self, page: Page, first: int = 0) -> None:
        """It is given all, from `first` on, once and in order."""
        page.until(f"window.seen.at(-1) === {self.published - 1}")
        self.assertEqual(page.run("window.seen"), list(range(first, self.published)))

    def test_two(self) -> None:
        """The second tab has no connection of its own, and what it publishes is stored once and
        shown once in both. A tab of another user shares nothing."""
        first, second = self.tab(), self.tab()
        self.assert_connected(1)
        self.assertEqual(first.run("leads()"), 1)
        self.publish(10)
        stored = second.run("room.publish('msg', 10)")
        self.published += 1
        for page in (first, second):
            self.assert_whole(page)
            self.assertEqual(page.run("room.cursor"), stored)
        stranger = self.tab("eve")
        self.assert_connected(2)
        self.assertEqual(stranger.run("leads()"), 2)
        stranger.close()
        # The leader goes to another page, and comes back.
        first.go("about:blank")
        self.publish(5)
        self.assert_whole(second)
        self.assert_connected(1)
        first.back()
        first.until("window.room?.state === 'open'")
        self.publish(5)
        self.assert_whole(second)
        first.until(f"window.seen.at(-1) === {self.published - 1}")
        self.assert_connected(1)
        for page in (first, second):
            self.assertEqual(page.errors, [])
            page.close()
        self.assert_connected(0)
        self.server.assert_clean()

    def test_five(self) -> None:
        """The leader is closed, the next one's process dies, the next one is frozen, the server
        is killed and starts again: nobody who is left has lost or seen anything twice."""
        tabs = [self.tab() for _ in range(5)]
        self.assert_connected(1)
        self.publish(10)
        tabs[0].close()
        self.publish(10)
        self.assert_whole(tabs[4])
        self.assert_connected(1)
        tabs[1].crash()
        self.publish(10)
        self.assert_whole(tabs[4])
        self.assert_connected(1)
        tabs[2].freeze()
        self.publish(10)
        self.assert_whole(tabs[4])
        self.assert_connected(1)
        tabs[2].thaw()
        self.publish(10)
        self.server.kill()
        self.server.start()
        self.publish(10)
        for page in tabs[2:]:
            self.assert_whole(page)
            self.assertEqual(page.errors, [])
        self.assert_connected(1)
        self.server.assert_clean()
