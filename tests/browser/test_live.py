"""Live objects in Chromium: the JavaScript client, the server, a network that cuts."""

from __future__ import annotations

from typing import ClassVar

from tests.browser.cutting import CuttingProcess
from tests.browser.driven import PATIENCE, Page
from tests.browser.served import ServedCase
from tests.browser.weather import PORTAL, WeatherProxy
from tests.sockets.server_process import wait_until

#: What the page holds the other end of.
FUNCTIONS = """
from twisted.internet.defer import Deferred

from takotwist.live import BroadcastChannel, Channel, function

@function
async def on_echo():
    channel = Channel()
    channel.listen(lambda message: channel.send(message) and message)
    channel.listen_binary(lambda data: channel.send_binary(data) and None)
    return {"channel": channel.client}

@function
async def on_never_read():
    channel = Channel()
    channel.listen_binary(lambda data: Deferred())
    return {"channel": channel.client}

@function
async def on_join():
    return BroadcastChannel(key="room")
"""

#: The page's side of an echo: `said` is what came back, `opened` and `ended` how often.
ECHO = """(async () => {
  const { call, BroadcastChannel } = await import("/_tako/live.js");
  const { channel } = await call("onEcho");
  Object.assign(window, { call, channel, said: [], opened: 0, ended: 0 });
  channel.onOpen(() => window.opened++);
  channel.onClose(() => window.ended++);
  channel.listen((message) => void said.push(message));
  channel.listenBinary((data) => void said.push(new DataView(data.buffer).getUint32(0)));
})()"""

#: The first frame of a WebSocket comes once the event stream is in use: it has brought something.
SLOW = """window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", (event) => {
      event.stopImmediatePropagation();
      const looking = setInterval(() => {
        if (!(window.said?.length >= 50)) return;
        clearInterval(looking);
        this.dispatchEvent(new MessageEvent("message", { data: event.data }));
      }, 10);
    }, { once: true });
  }
}; undefined"""

#: There is none.
BLOCKED = """window.WebSocket = class {
  constructor() { throw new Error("blocked"); }
}; undefined"""

SEND = """(async () => {
  for (let number = 0; number < %d; number++) {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, number);
    await (number %% 3 ? channel.send(number) : channel.sendBinary(bytes));
    if (%d) await new Promise((resolve) => setTimeout(resolve, %d));
  }
})()"""

UNAWAITED = "for (let number = 0; number < %d; number++) void channel.send(number); undefined"


class LiveTests(ServedCase):
    """One server and one browser for each test."""

    files: ClassVar = {"functions/objects.py": FUNCTIONS}
    serve = True

    def page(self, port: int, before: str = "undefined") -> Page:
        """A page that holds a channel.

        Loading a page and calling a function are requests, which nobody repeats but the
        user: where a network cuts one of them, this does.
        """
        for _ in range(20):
            try:
                page = self.browser.open(f"http://127.0.0.1:{port}/_tako/health")
                page.run(before)
                page.run(ECHO)
            except AssertionError as failed:
                failure = failed
            else:
                return page
        raise failure

    def assert_all_came(self, page: Page, count: int, seconds: float = PATIENCE) -> None:
        page.until(f"said.length >= {count}", seconds)
        self.assertEqual(page.run("said"), list(range(count)))
        self.assertEqual(page.run("[opened, ended]"), [1, 0])

    def test_c1_order(self) -> None:
        """10,000 messages, text and binary mixed, come back once and in order."""
        page = self.page(self.server.port)
        page.run(SEND % (10_000, 0, 0))
        self.assert_all_came(page, 10_000)
        self.server.assert_clean()

    def test_c1_unawaited(self) -> None:
        """20,000 messages that nobody awaits, in one turn of the page, come back once and in
        order from a server that awaits none either, over both wires."""
        for before in ("undefined", BLOCKED):
            page = self.page(self.server.port, before)
            page.run(UNAWAITED % 20_000)
            self.assert_all_came(page, 20_000)
        self.server.assert_clean()

    def test_c12_capacity(self) -> None:
        """A loop that awaits its sends stops at the window of a server that does not consume;
        one that does not await them is bounded, and past the bound the channel is over."""
        page = self.page(self.server.port)
        page.run("""(async () => {
          const { channel } = await call("onNeverRead");
          Object.assign(window, { slow: channel, sent: 0, dropped: [] });
          await new Promise((resolve) => channel.onOpen(resolve));
          const send = () => channel.sendBinary(new Uint8Array(65536));
          (async () => { for (;;) { await send(); window.sent++; } })().catch(() => {});
        })()""")
        page.until("sent >= 16")
        page.run("new Promise((resolve) => setTimeout(resolve, 500))")
        self.assertEqual(page.run("sent"), 16)
        page.run("""(() => { for (let count = 0; count < 256; count++) {
          slow.sendBinary(new Uint8Array(65536)).catch((error) => dropped.push(error.code));
        } })()""")
        page.until("dropped.length >= 256")
        self.assertEqual(page.run("[...new Set(dropped)]"), ["overflow", "channel-closed"])
        self.assertTrue(page.run("slow.isClosed"))
        wait_until(lambda: "has ended: more waited" in self.server.log, "the server's line")

    def test_c13_upgrade(self) -> None:
        """What is sent while the page goes over from the event stream to the WebSocket comes
        back once and in order; the event stream ends."""
        page = self.page(self.server.port, SLOW)
        page.run(SEND % (400, 1, 3))
        self.assert_all_came(page, 400)
        posted = (
            "performance.getEntriesByType('resource').some((one) => /connect.+/.test(one.name))"
        )
        self.assertTrue(page.run(posted))
        wait_until(lambda: "mux-sse" in self.server.log, "the end of the event stream")
        self.assert_connected(1)
        self.server.assert_clean()

    def test_weather(self) -> None:
        """While answers are cut inside their head, or come from a captive portal, a page tries
        again, and goes on where it was when that is over."""
        proxy = WeatherProxy(self.server.port)
        self.addCleanup(proxy.close)
        for before in ("undefined", BLOCKED):
            page = self.page(proxy.port, before)
            for number, weather in enumerate((12, 60, 90, PORTAL)):
                proxy.between, proxy.met = weather, 0
                proxy.cut()
                wait_until(lambda: proxy.met >= 3, f"three tries in {weather!r}", PATIENCE)
                page.run(f"void channel.send({number})")
                self.assertEqual(page.run("ended"), 0)
                proxy.between = None
                self.assert_all_came(page, number + 1)

    def test_c13_blocked(self) -> None:
        """Where WebSocket is blocked, and the network cuts, the event stream carries all of it."""
        proxy = CuttingProcess(self.server.port, seed=13)
        self.addCleanup(proxy.close)
        page = self.page(proxy.port, BLOCKED)
        page.run(SEND % (300, 1, 10))
        self.assert_all_came(page, 300)
        self.assertGreater(proxy.connections, 3)
        self.server.assert_clean()

    def test_c7_cuts(self) -> None:
        """Every connection is cut after 0.2 to 2 seconds: all that was sent meanwhile comes
        back once and in order, and the page sees neither an end nor a second opening."""
        proxy = CuttingProcess(self.server.port, seed=11)
        self.addCleanup(proxy.close)
        page = self.page(proxy.port)
        page.run(SEND % (600, 1, 12))
        self.assert_all_came(page, 600)
        self.assertGreater(proxy.connections, 3)
        self.server.assert_clean()

    def test_c20_members(self) -> None:
        """What one page publishes, each member hears once, in one order, the publisher too."""
        join = """(async () => {
          const { call } = await import("/_tako/live.js");
          window.room = await call("onJoin");
          window.heard = [];
          room.subscribe((message, info) => void heard.push([message, info.seq]));
          await new Promise((resolve) => room.onOpen(resolve));
          window.first = await room.publish("here");
        })()"""
        one, other = (self.browser.open(f"{self.server.url}/_tako/health") for _ in range(2))
        one.run(join)
        other.run(join)
        receipt = one.run("room.publish('from one')")
        for page in (one, other):
            page.until("heard.some(([message]) => message === 'from one')")
            self.assertEqual(page.run("heard.at(-1)"), ["from one", receipt["seq"]])
        self.assertEqual(one.run("heard.map(([, seq]) => seq)"), [1, 2, 3])
        self.assertEqual(one.run("room.close()"), 0)
        other.run("room.publish('alone')")
        other.until("heard.at(-1)[0] === 'alone'")
        self.server.assert_clean()
