"""Live objects over WebTransport: Chromium, our JavaScript client, and the real server."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.webtransport.certificate import short_lived_certificate
from tests.browser.driven import Browser
from tests.sockets.server_process import FAST, ServerProcess, wait_until
from tests.sockets.test_server_http3 import free_udp_port

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


class LiveTests(SynchronousTestCase):
    """One page, one channel."""

    def setUp(self) -> None:
        self.server = server = ServerProcess(serve=True, tls=True)
        self.addCleanup(server.close)
        port = free_udp_port()
        server.write_config(
            f"{FAST}\n"
            f'[http]\nallowed_origins = ["{server.url}"]\n'
            '[tls]\ncertificate = "cert.pem"\nkey = "key.pem"\n'
            f'[http3]\nlisten = ["udp:{port}:interface=127.0.0.1"]\n'
            '[app]\nfunctions = "functions"\n'
        )
        made = short_lived_certificate(["localhost", "127.0.0.1"], now=datetime.now(UTC))
        (server.folder / "cert.pem").write_bytes(made.certificate)
        (server.folder / "key.pem").write_bytes(made.key)
        folder = server.folder / "functions"
        folder.mkdir()
        (folder / "objects.py").write_text(FUNCTIONS)
        server.start()
        self.settings = {"url": f"https://127.0.0.1:{port}", "sha256": made.sha256.hex()}
        self.browser = Browser()
        self.addCleanup(self.browser.close)

    def metrics(self) -> str:
        """What the server says of its connections."""
        with self.server.private() as private:
            return str(private.get("/_tako/metrics").text)

    def test_channel(self) -> None:
        """A channel begins on the event stream and goes over to WebTransport: all that is sent
        comes back once and in order, and a page that is left ends it at once."""
        page = self.browser.open(f"{self.server.url}/_tako/health")
        page.run(ECHO % json.dumps(self.settings))
        page.run(SEND % 1500)
        page.until("said.length >= 1500")
        self.assertEqual(page.run("said"), list(range(1500)))
        wait_until(lambda: "mux-sse" in self.server.log, "the end of the event stream")
        metrics = self.metrics()
        self.assertIn('tako_connections{transport="webtransport"} 1.0', metrics)
        self.assertIn('tako_connections{transport="mux"} 0.0', metrics)
        page.run(SEND % 300)
        page.until("said.length >= 1800")
        self.assertEqual(page.run("said.slice(1500)"), list(range(300)))
        self.assertEqual(page.run("[opened, ended]"), [1, 0])
        self.assertEqual([said for said in page.said if "uncaught" in said], [])
        page.close()
        other = self.browser.open(f"{self.server.url}/_tako/health")
        ended = "import('/_tako/live.js').then(({ call }) => call('onEnded'))"
        wait_until(lambda: other.run(ended) == 1, "the end of the channel", 10)
        self.server.assert_clean()
