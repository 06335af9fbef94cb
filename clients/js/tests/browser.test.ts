/** The file that a server serves, in Chromium: its WebSocket, its fetch, its EventSource. */

import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { bundle, servedFiles } from "../build.mjs";
import type { Channel, Client, TransportFactory } from "../src/index.js";
import { FakeServer } from "./server.js";

interface Window {
  client: Client;
  eventSource: TransportFactory;
  channel: Channel;
  seen: unknown[];
  states: string[];
}
declare const window: Window & globalThis.Window;

/** For what becomes true much sooner where the machine is not busy. */
const PATIENCE_MS = 50_000;

const PAGE = `<!doctype html><link rel="icon" href="data:,"><title>takotwist</title><script type="module">
  import { createClient } from "/_tako/client.js";
  import { eventSource } from "/eventsource.js";
  Object.assign(window, { client: createClient(), eventSource, seen: [], states: [] });
</script>`;

let browser: Browser;
let context: BrowserContext;
let page: Page;
let server: FakeServer;
let files: Map<string, string>;

beforeAll(async () => {
  files = new Map([
    ["/", PAGE],
    ["/_tako/client.js", (await servedFiles())["client.js"]],
    ["/eventsource.js", new TextDecoder().decode(await bundle("src/eventsource.ts"))],
  ]);
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    timeout: 2 * PATIENCE_MS,
  });
}, 3 * PATIENCE_MS);

afterAll(() => browser?.close());

beforeEach(async () => {
  server = new FakeServer();
  files.forEach((text, path) => server.files.set(path, text));
  await server.listen();
  context = await browser.newContext();
  context.setDefaultTimeout(PATIENCE_MS);
  page = await context.newPage();
  await page.goto(server.url);
  await page.waitForFunction(() => window.client);
});

afterEach(async () => {
  await context.close();
  await server.close();
});

async function open(transport: "auto" | "websocket" | "sse" | "eventsource"): Promise<void> {
  await page.evaluate((name) => {
    const transport = name === "eventsource" ? window.eventSource : name;
    window.channel = window.client.channel("chat", { params: { roomId: "ä b" }, transport });
    window.channel.onState((state) => window.states.push(state));
    window.channel.subscribe((message) => window.seen.push(message.data));
  }, transport);
  await page.waitForFunction(() => window.channel.state === "open");
}

const say = (data: unknown) => server.publish("chat", { roomId: "ä b" }, "msg", data);
const seen = (count: number) =>
  page.waitForFunction((wanted) => (window.seen.length >= wanted ? window.seen : null), count).then((got) => got.jsonValue());

describe.each(["auto", "websocket", "sse", "eventsource"] as const)("over %s", (transport) => {
  test("messages arrive, and those of a cut come after it", async () => {
    await open(transport);
    say("one");
    await seen(1);
    server.cut();
    say("two");
    say("three");
    expect(await seen(3)).toEqual(["one", "two", "three"]);
    await page.evaluate(() => window.channel.close());
    expect(await page.evaluate(() => window.states.at(-1))).toBe("closed");
  });
});

describe.each([
  ["a page", "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<h1>Sign in</h1>"],
  ["a router's 404", "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"],
  // Chromium hands such heads to a page as a 200 without, or with half of, their Content-Type.
  ["a head that is cut", "HTTP/1.1 200 OK\r\ncache-control: no-store\r\ncontent-ty"],
  ["a head that is cut in a value", "HTTP/1.1 200 OK\r\ncontent-type: text/ev"],
])("%s of somebody between", (_name, answer) => {
  test.each(["auto", "websocket", "sse", "eventsource"] as const)("is waited out over %s", async (transport) => {
    await open(transport);
    say("before");
    await seen(1);
    server.between = answer;
    server.cut();
    await page.waitForFunction(() => window.states.includes("reconnecting"));
    const { answered } = server;
    await expect.poll(() => server.answered, { timeout: PATIENCE_MS }).toBeGreaterThan(answered + 1);
    expect(await page.evaluate(() => window.states)).not.toContain("closed");
    server.between = undefined;
    say("after");
    expect(await seen(2)).toEqual(["before", "after"]);
  });
});

describe("a page of this machine says in its console why nothing connects, within two seconds", () => {
  async function said(): Promise<string> {
    const line = page.waitForEvent("console", { predicate: (each) => each.text().startsWith("takotwist:"), timeout: PATIENCE_MS });
    const begun = Date.now();
    await page.evaluate((url) => window.client.channel("chat", url ? { url } : {}).subscribe(() => {}), other);
    const text = (await line).text();
    // The client's own clock, which a busy machine does not stretch, is held by the tests in memory.
    expect(Date.now() - begun).toBeGreaterThan(1_000);
    return text;
  }
  let other = "";

  test("where a dev server answers in the server's place", async () => {
    server.between = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<title>Vite</title>";
    server.cut();
    other = "";
    expect(await said()).toContain(`What answers at ${server.url} is not takotwist (200 text/html)`);
  });

  test("where no server is", async () => {
    const gone = new FakeServer();
    await gone.listen();
    other = gone.url;
    await gone.close();
    expect(await said()).toContain(`Nothing that this page may read answers at ${other}`);
  });

  test("and nothing where all is well", async () => {
    const lines: string[] = [];
    page.on("console", (line) => lines.push(line.text()));
    // The page's time stands still until it is open, however long a busy machine takes for that.
    await page.clock.install();
    await page.clock.pauseAt(Date.now() + 60_000);
    await open("auto");
    await page.clock.runFor(1_800);
    await page.clock.resume();
    await page.waitForTimeout(200);
    expect(lines).toEqual([]);
  });
});

test("a page that goes offline and online again catches up", async () => {
  await open("websocket");
  const { port } = server;
  await server.close();
  await page.waitForFunction(() => window.states.includes("reconnecting"));
  await context.setOffline(true);
  say("meanwhile");
  await server.listen(port);
  await context.setOffline(false);
  expect(await seen(1)).toEqual(["meanwhile"]);
});

test("where WebSocket is blocked, auto falls back to SSE", async () => {
  server.websocket = false;
  await open("auto");
  say("through");
  expect(await seen(1)).toEqual(["through"]);
});

test("what is published comes back with its id", async () => {
  await open("auto");
  expect(await page.evaluate(() => window.channel.publish("msg", { text: "hi" }))).toBe("101");
  expect(await seen(1)).toEqual([{ text: "hi" }]);
});

test("twenty channels of a page use one connection", async () => {
  const rooms = await page.evaluate(async () => {
    const channels = Array.from({ length: 20 }, (_, room) => window.client.channel("chat", { params: { room } }));
    channels.forEach((channel) => channel.subscribe(() => {}));
    const open = (channel: Channel) => new Promise((resolve) => channel.onState((state) => state === "open" && resolve(0)));
    await Promise.all(channels.map(open));
    return channels.length;
  });
  expect([rooms, server.upgrades, server.subscribes]).toEqual([20, 1, 20]);
});
