"""What is published offline outlives its page: Chromium, our JavaScript client, the real server."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.browser.driven import Page
from tests.browser.served import PAGES, ServedCase
from tests.sockets.server_process import FAST, ServerProcess, wait_until

#: A room with the queue, over a connection that all tabs share.
PAGE = """<!doctype html><link rel="icon" href="data:,"><title>offline</title>
<script type="module">
  import { createClient } from "/_tako/client.js";
  import { sharedTabs } from "/_tako/tabs.js";
  import { offlineClient } from "/_tako/offline.js";

  const identity = "ada";
  const url = new URLSearchParams(location.search).get("server");
  const told = [];
  const client = await offlineClient(createClient({ url, tabs: sharedTabs({ identity }) }), {
    identity,
    onReturned: ({ data }, { code }) => told.push([data, code]),
    onStored: ({ data }) => told.push([data, "stored"]),
  });
  const params = { roomId: "a" };
  const room = client.channel("chat", { params, cursor: client.keptCursor("chat", params) });
  const seen = [];
  room.subscribe(({ data }) => seen.push(data));
  const say = (data) => void room.publish("msg", data).then(() => told.push([data, "answered"]));
  const kept = () =>
    new Promise((done) => {
      indexedDB.open("takotwist").onsuccess = ({ target: { result: database } }) => {
        const count = database.transaction("publishes").objectStore("publishes").count();
        count.onsuccess = () => done(count.result);
        database.close();
      };
    });
  Object.assign(window, { room, seen, told, say, kept });
</script>
"""


class OfflineTests(ServedCase):
    """Two tabs of one user.  Their page is another server's, so that it can be reloaded while
    that of the channels is away."""

    config = FAST + PAGES
    files: ClassVar = {"pages/index.html": PAGE}

    def setUp(self) -> None:
        super().setUp()
        origins = f'[http]\nallowed_origins = ["{self.server.url}"]\n'
        self.channels = ServerProcess(FAST + origins)
        self.addCleanup(self.channels.close)
        self.channels.start()

    def tab(self) -> Page:
        """One more tab, in which the room is open."""
        page = self.browser.open(f"{self.server.url}/?server={self.channels.url}")
        page.until("window.room?.state === 'open'")
        return page

    def stored(self) -> list[Any]:
        """What the topic holds."""
        with self.channels.private() as private:
            answer = private.get("/channels/chat/history?roomId=a")
        return [message["data"] for message in answer.json()["messages"]]

    def test_reload(self) -> None:
        """Said while the server is away, and then the page is reloaded, while another tab says
        something too: all is stored once and in order, and each tab is given each once."""
        first, second = self.tab(), self.tab()
        first.run("say('before')")
        first.until("told.length === 1")
        second.until("seen.length === 1")
        self.channels.kill()
        second.until("room.state === 'reconnecting'")
        mine = ["one", "two", "three"]
        first.run(f"{mine}.forEach(say)")
        second.run("say('of the other')")
        first.until("kept().then((count) => count === 4)")
        first.reload()
        first.until("window.room")
        self.channels.start()
        for page in (first, second):
            page.until("seen.includes('three') && seen.includes('of the other')")
        stored = self.stored()
        self.assertEqual([data for data in stored if data in mine], mine)
        self.assertEqual(sorted(stored), sorted(["before", "of the other", *mine]))
        self.assertEqual(second.run("seen"), stored)
        # It went on after what it had been given before.
        self.assertEqual(first.run("seen"), stored[1:])
        # Nobody waits for those of the page that was: who took them over is told.  The answer to a
        # publish may come after its message.
        told: list[Any] = []

        def all_told() -> bool:
            told[:] = first.run("told") + second.run("told")
            return len(told) >= 4

        wait_until(all_told, "what became of each")
        self.assertEqual(
            sorted(told),
            sorted([["of the other", "answered"], *([data, "stored"] for data in mine)]),
        )
        second.until("kept().then((count) => count === 0)")
        # Until the shared WebSocket is there an event stream stands in for it.
        wait_until(lambda: self.channels.connected == 1, "one connection")
        for page in (first, second):
            # Of a POST that was tried while an event stream stood in for the WebSocket.
            self.assertEqual([line for line in page.errors if "status of 401" not in line], [])
        self.channels.assert_clean()
