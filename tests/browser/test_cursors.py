"""The cursors example in Chromium: the React hooks, in strict mode, at a high rate."""

from __future__ import annotations

import subprocess

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.driven import Browser, Page
from tests.browser.example_server import EXAMPLES, example_server
from tests.sockets.server_process import wait_until

_POINTERS = "[...document.querySelectorAll('.pointer')]"

#: Where the one pointer of the others is, in shares of the board.
_PLACE = f"{_POINTERS}.map((one) => [one.style.left, one.style.top].map(parseFloat))[0]"


class CursorTests(SynchronousTestCase):
    """`examples/cursors`, two tabs on one board."""

    def setUp(self) -> None:
        built = subprocess.run(
            ["sh", EXAMPLES / "cursors" / "build"], capture_output=True, text=True, check=False
        )
        self.assertEqual(built.returncode, 0, built.stdout + built.stderr)
        self.server = example_server("cursors")
        self.addCleanup(self.server.close)
        self.server.start()
        self.browser = Browser(self.server.authority)
        self.addCleanup(self.browser.close)

    def tab(self, board: str = "main") -> Page:
        """A tab that is connected and seen."""
        page = self.browser.open(f"{self.server.tls_url}/?board={board}", apart=True)
        page.until("document.getElementById('state')?.dataset.state === 'open'")
        return page

    def assert_points(self, page: Page, x: float, y: float) -> None:
        """The other's pointer comes to rest there."""
        near = f"Math.abs({_PLACE}[0] - {x}) < 1 && Math.abs({_PLACE}[1] - {y}) < 1"
        page.until(f"{_POINTERS}.length === 1 && {near}")

    def test_board(self) -> None:
        """A pointer is seen in the other tab, at its last place, also after the server was
        restarted, and is gone a while after its tab is; another board sees nothing of it."""
        elsewhere, watcher, mover = self.tab("other"), self.tab(), self.tab()
        # Strict mode mounts twice, and a component uses four hooks; it is one connection a tab.
        wait_until(lambda: self.server.connected == 3, "a connection for each")
        height = mover.run("document.querySelector('main').getBoundingClientRect().height")
        top = 700 - height
        for step in range(40):
            mover.move(100 + 10 * step, int(top + height / 4))
        mover.move(750, int(top + height / 2))
        self.assert_points(watcher, 75, 50)
        self.server.restart()
        for tab in (watcher, mover):
            tab.until("document.getElementById('state').dataset.state === 'open'")
        mover.move(250, int(top + height / 4))
        self.assert_points(watcher, 25, 25)
        watcher.run(
            "void new MutationObserver(() => window.rang ||= !!document.querySelector('.ring'))"
            ".observe(document.querySelector('main'), { childList: true })"
        )
        mover.press(250, int(top + height / 4))
        watcher.until("window.rang")
        self.assertEqual(elsewhere.run(f"{_POINTERS}.length"), 0)
        for tab in (elsewhere, watcher, mover):
            self.assertEqual(tab.errors, [])
        mover.run("void (location.href = 'about:blank')")
        watcher.until(f"{_POINTERS}.length === 0")
        self.server.assert_clean()
