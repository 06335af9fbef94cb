"""``pusher-js`` as its page has it, in a browser, on a page of another host than the server's."""

from __future__ import annotations

import subprocess
from typing import ClassVar

import pusher

from tests.browser.served import BLANK, PAGES, ServedCase
from tests.sockets.server_process import FAST
from tests.sockets.test_pusher_clients import APP, FOLDER, ID, INSTALL, KEY, SECRET

_PAGE = f"""
  const pusher = new Pusher("{KEY}", {{
    wsHost: "localhost", wsPort: location.port, wssPort: location.port, forceTLS: true,
    enabledTransports: ["ws", "wss"], cluster: "",
  }});
  pusher.connection.bind("state_change", ({{ current }}) => states.push(current));
  const news = pusher.subscribe("news");
  news.bind("pusher:subscription_succeeded", () => {{ opened++; }});
  news.bind("hi", (data) => got.push(data));
"""


class PusherTests(ServedCase):
    """A page that was written for Pusher."""

    config = FAST + PAGES + APP
    files: ClassVar = {"pages/index.html": BLANK}
    tls = True

    def test_page(self) -> None:
        """It follows a channel, through a restart of the server."""
        subprocess.run(["sh", str(INSTALL), str(FOLDER)], check=True, timeout=300)
        script = (FOLDER / "node_modules/pusher-js/dist/web/pusher.min.js").read_text()
        page = self.browser.open(self.server.tls_url)
        page.run(f"(() => {{ {script}\n }})()")
        page.run(f"(() => {{ window.got = []; window.states = []; window.opened = 0; {_PAGE} }})()")
        page.until("opened === 1")
        library = pusher.Pusher(
            app_id=ID, key=KEY, secret=SECRET, host="127.0.0.1", port=self.server.port, ssl=False
        )
        library.trigger("news", "hi", {"n": 1})
        page.until("got.length === 1")
        self.server.stop()
        self.server.start()
        page.until("opened === 2")
        library.trigger("news", "hi", {"n": 2})
        self.assertEqual(page.until("got.length === 2 && got"), [{"n": 1}, {"n": 2}])
