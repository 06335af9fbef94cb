"""Live objects over WebTransport: Chromium, our JavaScript client, and the real server."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.driven import Browser
from tests.browser.http3_server import Http3Server
from tests.sockets.server_process import wait_until

FUNCTIONS = """
from takotwist.live import Channel, function

ended = []

@function
async def on_echo():
    channel = Channel()
    channel.listen(lambda message: channel.send(message) and message)
    channel.listen_binary(lambda data: channel.send_binary(data) and None)
    channel.on_close(ended.append)
    return {"channel": channel.client}

@function
async def on_ended() -> int:
    return len(ended)
"""

#: The page's side of an echo, by a session of its own and not by the page's WebSocket.
ECHO = """(async () => {
  const { createLive } = await import("/_tako/live.js");
  const { webTransport } = await import("/_tako/webtransport.js");
  const { url, sha256 } = %s;
  const value = Uint8Array.from(sha256.match(/../g), (byte) => parseInt(byte, 16));
  const serverCertificateHashes = [{ algorithm: "sha-256", value }];
  const transport = webTransport({ url, serverCertificateHashes });
  const live = createLive({ transport });
  const { channel } = await live.call("onEcho");
  Object.assign(window, { live, channel, said: [], opened: 0, ended: 0 });
  channel.onOpen(() => window.opened++);
  channel.onClose(() => window.ended++);
  channel.listen((message) => void said.push(message));
  channel.listenBinary((data) => void said.push(new DataView(data.buffer).getUint32(0)));
})()"""

#: Text and binary in turn, the binary ones large; begun before the session is there.
SEND = """(async () => {
  for (let number = 0; number < %d; number++) {
    const bytes = new Uint8Array(5000);
    new DataView(bytes.buffer).setUint32(0, number);
    await (number %% 3 ? channel.send(number) : channel.sendBinary(bytes));
  }
})()"""


UNAWAITED = "for (let number = 0; number < %d; number++) void channel.send(number); undefined"


class LiveTests(SynchronousTestCase):
    """One page, one channel."""

    def setUp(self) -> None:
        http3 = Http3Server.of('functions = "functions"', serve=True)
        self.server, self.settings = http3.process, http3.settings
        self.addCleanup(self.server.close)
        self.server.write("functions/objects.py", FUNCTIONS)
        self.server.start()
        self.browser = Browser()
        self.addCleanup(self.browser.close)

    def metrics(self) -> str:
        """What the server says of its connections."""
        with self.server.private() as private:
            return str(private.get("/_tako/metrics").text)

    def test_unawaited(self) -> None:
        """20,000 messages that nobody awaits, at either end, come back once and in order."""
        page = self.browser.open(f"{self.server.url}/_tako/health")
        page.run(ECHO % json.dumps(self.settings))
        page.run(UNAWAITED % 20_000)
        page.until("said.length >= 20000")
        self.assertTrue(page.run("said.every((number, at) => number === at)"))
        self.assertEqual(page.run("[opened, ended]"), [1, 0])
        self.assertIn('tako_connections{transport="webtransport"} 1.0', self.metrics())

    def test_channel(self) -> None:
        """A channel begins on the event stream and goes over to WebTransport: all that is sent
        comes back once and in order, and a page that is left ends it at once."""
        page = self.browser.open(f"{self.server.url}/_tako/health")
        page.run(ECHO % json.dumps(self.settings))
        page.run(SEND % 1500)
        page.until("said.length >= 1500")
        self.assertEqual(page.run("said"), list(range(1500)))
        wait_until(lambda: "mux-sse" in self.server.log, "the end of the event stream")
        session, other = (
            f'tako_connections{{transport="{name}"}}' for name in ("webtransport", "mux")
        )
        wait_until(
            lambda: {f"{session} 1.0", f"{other} 0.0"} <= set(self.metrics().splitlines()),
            lambda: f"one session and nothing beside it: {self.metrics()}",
        )
        page.run(SEND % 300)
        page.until("said.length >= 1800")
        self.assertEqual(page.run("said.slice(1500)"), list(range(300)))
        self.assertEqual(page.run("[opened, ended]"), [1, 0])
        self.assertEqual([said for said in page.said if "uncaught" in said], [])
        page.close()
        other = self.browser.open(f"{self.server.url}/_tako/health")
        ended = "import('/_tako/live.js').then(({ call }) => call('onEnded'))"
        wait_until(lambda: other.run(ended) == 1, "the end of the channel", 20)
        self.server.assert_clean()
