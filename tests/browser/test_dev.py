"""`tako dev` in Chromium: problems in the console, pages loaded anew, clients that resume."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.driven import Browser
from tests.sockets.dev_process import DevProcess

CHANNEL = """
from takotwist import define_channel

chat = define_channel("chat")

@chat.on("msg")
def said(data, context):
    return data{more}
"""

PAGE = """<!doctype html><title>A page</title>
<p id="version">{version}</p>
<script type="module">
import {{ channel }} from "/_tako/client.js";
window.heard = [];
window.chat = channel("chat");
chat.on("msg", (data) => heard.push(data));
chat.onState((state) => window.state = state);
</script>
"""


class DevTests(SynchronousTestCase):
    """A page that somebody writes, over HTTPS that the browser trusts."""

    def setUp(self) -> None:
        self.dev = DevProcess('[app]\npages = "pages"\n')
        self.addCleanup(self.dev.close)
        self.dev.write("channels/chat.py", CHANNEL.format(more=""))
        self.dev.write("pages/index.html", PAGE.format(version="one"))
        self.dev.start()
        self.browser = Browser(self.dev.authority)
        self.addCleanup(self.browser.close)
        self.page = self.browser.open(f"{self.dev.tls_url}/")
        self.page.until("window.state === 'open'")

    def test_problem_in_the_console(self) -> None:
        """A broken definition is in the page's console with file and line; the page goes on."""
        self.dev.write("channels/chat.py", CHANNEL.format(more="\nx = ("))
        self.dev.until(lambda: any("SyntaxError" in one for one in self.page.said), "the console")
        [said] = [one for one in self.page.said if "SyntaxError" in one]
        self.assertIn("channels/chat.py:9: SyntaxError: '(' was never closed", said)
        self.page.run("chat.publish('msg', 1)")
        self.page.until("heard.length === 1")
        self.dev.write("channels/chat.py", CHANNEL.format(more=" + 1"))
        self.dev.until_said("taken up in")
        self.page.run("chat.publish('msg', 1)")
        self.page.until("heard.length === 2")
        self.assertEqual(self.page.run("heard"), [1, 2])

    def test_page_is_loaded_anew(self) -> None:
        """A saved page is shown without a key being pressed."""
        self.dev.write("pages/index.html", PAGE.format(version="two"))
        self.page.until("document.getElementById('version').textContent === 'two'")

    def test_start_over(self) -> None:
        """Over a start over the page stays, and hears what was said meanwhile once."""
        self.page.run("window.kept = true")
        self.dev.write_config('[app]\npages = "pages"\n[http]\nbase_paths = ["/_tako/channels/"]\n')
        self.page.run("chat.publish('msg', 'meanwhile')")
        self.dev.until_said("ready, channels: chat", 2)
        self.page.until("window.state === 'open' && heard.length === 1")
        self.assertTrue(self.page.run("window.kept"))
        self.assertEqual(self.page.run("heard"), ["meanwhile"])
