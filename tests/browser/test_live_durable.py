"""A durable broadcast in Chromium: who comes late, and after a restart of the server."""

from __future__ import annotations

from typing import ClassVar

from tests.browser.driven import Page
from tests.browser.served import ServedCase

FUNCTIONS = """
from takotwist.live import BroadcastChannel, Replay, function

@function
async def on_follow():
    return BroadcastChannel(key="room", replay=Replay(max_messages=100))
"""

JOIN = """(async () => {
  const { call } = await import("/_tako/live.js");
  window.heard ??= [];
  window.ends = [];
  window.gone = [];
  window.room = await call("onFollow");
  room.onClose((error) => ends.push(error?.code));
  const options = { cursor: %s, onGone: (gone) => gone_.push(gone) };
  const gone_ = window.gone;
  if (!%s) delete options.onGone;
  room.subscribe((message, info) => heard.push([message, info.cursor]), options);
  await new Promise((resolve) => room.onOpen(resolve));
})()"""


class DurableTests(ServedCase):
    """One key, which keeps a hundred messages."""

    files: ClassVar = {"functions/objects.py": FUNCTIONS}
    serve = True

    def page(self, cursor: str = "undefined", gone: str = "false") -> Page:
        """A member from a cursor."""
        page = self.browser.open(f"{self.server.url}/_tako/health")
        page.run(JOIN % (cursor, gone))
        return page

    def publish(self, page: Page, first: int, count: int) -> None:
        page.run(
            f"(async () => {{ for (let n = {first}; n < {first + count}; n++)"
            " await room.publish(n); })()"
        )

    def test_restart(self) -> None:
        """A late member hears all that is kept after its cursor, once and in order, though the
        server was restarted; a page that was there comes back the same way."""
        page = self.page()
        self.publish(page, 0, 20)
        page.until("heard.length === 20")
        self.assertEqual(page.run("room.cursor"), page.run("heard.at(-1)[1]"))
        middle = page.run("heard[9][1]")
        self.server.stop()
        self.server.start()
        # Of another process its page knows nothing; it comes back by its cursor.
        page.until("ends.length === 1")
        other = self.page(f"'{middle}'")
        self.publish(other, 20, 5)
        other.until("heard.length === 15")
        self.assertEqual(other.run("heard.map(([n]) => n)"), list(range(10, 25)))
        page.run("(() => { window.kept = room.cursor; })()")
        page.run(JOIN % ("kept", "false"))
        page.until("heard.length === 25")
        self.assertEqual(page.run("heard.map(([n]) => n)"), list(range(25)))
        everything = self.page("'0'")
        everything.until("heard.length === 25")
        self.assertEqual(everything.run("heard.map(([n]) => n)"), list(range(25)))
        self.assertEqual([one for one in other.said if "uncaught" in one], [])
        self.server.assert_clean()

    def test_too_old(self) -> None:
        """A cursor that the window has passed by ends the member with an error; where the page
        says what to do then, it is told and goes on from now."""
        page = self.page()
        self.publish(page, 0, 300)
        page.until("heard.length === 300")
        oldest = page.run("heard[0][1]")
        late = self.page(f"'{oldest}'")
        late.until("ends.length === 1")
        self.assertEqual(late.run("[ends, heard]"), [["replay-too-old"], []])
        reloading = self.page(f"'{oldest}'", "true")
        reloading.until("gone.length === 1")
        self.assertEqual(reloading.run("gone[0].reason"), "replay-too-old")
        self.publish(reloading, 300, 1)
        reloading.until("heard.length === 1")
        self.assertEqual(reloading.run("heard[0][0]"), 300)
        self.server.assert_clean()
