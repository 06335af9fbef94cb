"""A page with live objects that is left: for good, and to come back to it."""

from __future__ import annotations

from typing import ClassVar

from tests.browser.driven import Page
from tests.browser.served import BLANK, PAGES, ServedCase
from tests.browser.test_live import BLOCKED, ECHO
from tests.sockets.server_process import FAST, wait_until

FUNCTIONS = """
from takotwist.live import Channel, function

ended = []

@function
async def on_echo():
    channel = Channel()
    channel.listen(lambda message: channel.send(message) and message)
    channel.on_close(ended.append)
    return {"channel": channel.client}

@function
async def on_ended() -> int:
    return len(ended)
"""

ENDED = "import('/_tako/live.js').then(({ call }) => call('onEnded'))"


class LeavingTests(ServedCase):
    """One server and one browser for each test."""

    config = FAST + PAGES
    # Not the server's own answers, which no browser keeps: a page of the app.
    files: ClassVar = {
        "functions/objects.py": FUNCTIONS,
        "pages/index.html": f"{BLANK}<p>A page.",
        "pages/other.html": f"{BLANK}<p>A page.",
    }
    serve = True

    def page(self, before: str = "undefined") -> Page:
        """A page that holds a channel."""
        page = self.browser.open(f"{self.server.url}/")
        page.run(before)
        page.run(ECHO)
        page.run("channel.send('here')")
        page.until("said.length === 1")
        return page

    def assert_ended(self, count: int) -> None:
        """So many channels have ended at the server, and soon: it waits a minute for who is cut."""
        other = self.browser.open(f"{self.server.url}/")
        wait_until(lambda: other.run(ENDED) == count, f"{count} ended", 30)

    def test_left(self) -> None:
        """A tab that is closed ends its channels at once, on an event stream and on a WebSocket."""
        self.page(BLOCKED).close()
        self.assert_ended(1)
        self.page().close()
        self.assert_ended(2)
        self.server.assert_clean()

    def test_reloaded(self) -> None:
        """So does a reload."""
        page = self.page(BLOCKED)
        page.reload()
        self.assert_ended(1)
        self.server.assert_clean()

    def come_back(self, before: str) -> None:
        page = self.page(before)
        # Only the page that was left has it.
        page.run("(() => { window.mark = 'the same page'; })()")
        page.go(f"{self.server.url}/other.html")
        page.back()
        self.assertEqual(page.run("window.mark"), "the same page")
        page.run("channel.send('back')")
        page.until("said.length === 2")
        self.assertEqual(page.run("[said, opened, ended]"), [["here", "back"], 1, 0])
        self.assertEqual(page.run(ENDED), 0)
        self.server.assert_clean()

    def test_back_on_a_stream(self) -> None:
        """Who goes to another page and back finds the channel as it was."""
        self.come_back(BLOCKED)

    def test_back_on_a_web_socket(self) -> None:
        """So with a WebSocket: its close then does not say that the page has gone."""
        self.come_back("undefined")
