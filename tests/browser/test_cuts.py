"""The chat example in Chromium through a network that cuts every connection."""

from __future__ import annotations

import os
import threading
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.chat_page import ChatPage
from tests.browser.cutting import CuttingProcess
from tests.browser.driven import Browser
from tests.browser.example_server import example_server
from tests.sockets.server_process import FAST, ServerProcess

MESSAGES = 2_000
#: Of them, how many the page itself publishes, over the same network.
FROM_THE_PAGE = 400
#: Over which they are published; 60 for the whole story.
SECONDS = float(os.environ.get("TAKO_TEST_CUT_SECONDS", "20"))
CHANNEL = "/_tako/channels/rooms?roomId=lobby"


def publish(server: ServerProcess, count: int) -> None:
    """As the app's backend does, evenly over the time."""
    with server.private() as private:
        begun = time.monotonic()
        for number in range(count):
            data = {
                "text": f"app {number}",
                "id": f"app{number}",
                "author": "app",
                "at": time.time(),
            }
            answer = private.post(CHANNEL, json={"type": "said", "data": data})
            assert answer.status_code == 200, answer.text
            time.sleep(max(0.0, begun + SECONDS * number / count - time.monotonic()))


class CutTests(SynchronousTestCase):
    """Two tabs; each of their connections is cut after 0.2 to 2 seconds."""

    def test_cuts(self) -> None:
        """2,000 messages flow meanwhile, some of them from the page. Both tabs get every one,
        once and in order, and none is stored twice."""
        server = example_server("chat", FAST)
        self.addCleanup(server.close)
        server.start()
        browser = Browser(server.authority)
        self.addCleanup(browser.close)
        proxy = CuttingProcess(server.tls_port, seed=7, encrypted=True)
        self.addCleanup(proxy.close)
        # The tab that is opened last is the one in front; Chromium slows the timers of the other.
        reader = ChatPage.entered(browser, f"https://localhost:{proxy.port}")
        writer = ChatPage.entered(browser, f"https://localhost:{proxy.port}")
        of_the_app = MESSAGES - FROM_THE_PAGE
        backend = threading.Thread(target=publish, args=(server, of_the_app), daemon=True)
        backend.start()
        pause = SECONDS * 1000 / FROM_THE_PAGE
        writer.page.run(
            f"""void (async () => {{
              for (let number = 0; number < {FROM_THE_PAGE}; number++) {{
                say(`page ${{number}}`);
                // Of those that wait for an answer a client keeps only so many.
                do await new Promise((resolve) => setTimeout(resolve, {pause}));
                while (number - answers.length > 100);
              }}
            }})()"""
        )
        backend.join(SECONDS + 300)
        self.assertFalse(backend.is_alive(), "the backend hangs")
        writer.wait_answered(FROM_THE_PAGE, SECONDS + 300)
        for tab in (writer, reader):
            texts = tab.wait_told(MESSAGES)
            self.assertEqual(len(texts), MESSAGES)
            for who, count in (("app", of_the_app), ("page", FROM_THE_PAGE)):
                of_them = [text for text in texts if text.startswith(who)]
                self.assertEqual(of_them, [f"{who} {number}" for number in range(count)])
            self.assertEqual(tab.page.errors, [])
        self.assertGreater(proxy.connections, SECONDS / 2)
        server.assert_clean()
