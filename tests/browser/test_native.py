"""A browser's own EventSource and WebSocket, without any library, through a restart."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.browser.driven import Page
from tests.browser.served import BLANK, PAGES, ServedCase
from tests.sockets.server_process import FAST

#: EventSource comes back by itself, with its cursor.
_EVENT_SOURCE = """
  const source = new EventSource("/channels/chat?roomId=a");
  source.onmessage = ({ data, lastEventId }) => got.push({ ...JSON.parse(data), lastEventId });
  source.onopen = () => { opened++; };
"""

#: With a cursor that the server never gave out.
_FOREIGN_CURSOR = """
  const source = new EventSource("/channels/chat?roomId=a&lastEventId=0198f3a2-7c1e&stale=reset");
  source.onmessage = ({ data }) => got.push(JSON.parse(data));
  source.onopen = () => { opened++; };
  source.addEventListener("tako.reset", ({ data }) => closes.push(JSON.parse(data)));
"""

#: What a page that uses WebSocket itself has to do, and all that it has to do.
_WEB_SOCKET = """
  let cursor;
  (function connect() {
    const from = cursor ? `&last_message_id=${cursor}` : "";
    const socket = new WebSocket(`wss://${location.host}/channels/chat?roomId=a${from}`);
    socket.onopen = () => { opened++; };
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      cursor = message.id;
      got.push(message);
    };
    socket.onclose = ({ code, reason }) => {
      closes.push([code, reason]);
      setTimeout(connect, 100);
    };
    window.say = (data) => socket.send(JSON.stringify({ type: "msg", data }));
  })();
"""


class NativeTests(ServedCase):
    """What the server promises to clients that are not ours."""

    config = FAST + PAGES
    files: ClassVar = {"pages/index.html": BLANK}
    tls = True

    def open(self, script: str) -> Page:
        """A page that runs `script` and is connected."""
        page = self.browser.open(self.server.tls_url)
        page.run(
            f"(() => {{ window.got = []; window.closes = []; window.opened = 0; {script} }})()"
        )
        page.until("opened === 1")
        return page

    def publish(self, *numbers: int) -> None:
        """From the backend."""
        with self.server.private() as private:
            for number in numbers:
                body = {"type": "msg", "data": number}
                private.post("/channels/chat?roomId=a", json=body).raise_for_status()

    def got(self, page: Page, count: int) -> list[dict[str, Any]]:
        """So many messages."""
        return list(page.until(f"got.length >= {count} && got"))

    def test_event_source(self) -> None:
        """EventSource gets what was published while the server was gone, once and in order."""
        page = self.open(_EVENT_SOURCE)
        self.publish(1, 2)
        self.got(page, 2)
        self.server.stop()
        self.server.start()
        # It waits for the time that the server's `retry:` named, so these come from the log.
        self.publish(3, 4)
        page.until("opened === 2")
        self.publish(5)
        got = self.got(page, 5)
        self.assertEqual([one["data"] for one in got], [1, 2, 3, 4, 5])
        self.assertEqual([one["lastEventId"] for one in got], [one["id"] for one in got])
        self.assertEqual(page.errors, [])

    def test_event_source_that_got_nothing(self) -> None:
        """Even one that saw no message before the restart misses none."""
        page = self.open(_EVENT_SOURCE)
        self.server.stop()
        self.server.start()
        self.publish(1, 2)
        self.assertEqual([one["data"] for one in self.got(page, 2)], [1, 2])

    def test_event_source_with_a_cursor_of_another_server(self) -> None:
        """It cannot see a refusal, so it can ask for an event in its place, and goes on live."""
        page = self.open(_FOREIGN_CURSOR)
        self.publish(1)
        self.assertEqual([one["data"] for one in self.got(page, 1)], [1])
        (reset,) = page.run("closes")
        self.assertEqual(reset["reason"], "cursor-invalid")
        self.assertEqual(page.errors, [])

    def test_web_socket(self) -> None:
        """A plain WebSocket is closed with 1001, and resumes with its cursor."""
        page = self.open(_WEB_SOCKET)
        page.run("say(1)")
        self.got(page, 1)
        self.server.stop()
        page.until("closes.length")
        self.assertEqual(page.run("closes[0]"), [1001, "shutting-down"])
        self.server.start()
        self.publish(2, 3)
        page.until("opened === 2")
        page.run("say(4)")
        got = self.got(page, 4)
        self.assertEqual([one["data"] for one in got], [1, 2, 3, 4])
        self.assertEqual(set(got[0]), {"id", "channel", "type", "data"})
        self.assertEqual(page.errors, [])
