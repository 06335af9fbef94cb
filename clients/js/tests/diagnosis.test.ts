/** Why nothing connects is said where the page is developed, and only there. */

import { afterEach, describe, expect, test, vi } from "vitest";
import { isDevelopment } from "../src/environment.js";
import { type ChannelOptions, createClient } from "../src/index.js";
import { World } from "./world.js";

afterEach(() => {
  vi.unstubAllGlobals();
  vi.unstubAllEnvs();
});

function setup(options: ChannelOptions = {}, page = "http://localhost:5173") {
  vi.stubGlobal("location", { origin: page, hostname: new URL(page).hostname });
  const world = new World();
  const said: string[] = [];
  const client = createClient({ ...world.environment, url: "http://localhost:8080", explain: (why) => said.push(why), ...options });
  return { world, client, said };
}

/** Everything fails, and the server's script is answered like this. */
async function unreachable(options: ChannelOptions, answer: (world: World) => void, page?: string): Promise<string[]> {
  const { world, client, said } = setup(options, page);
  const channel = client.channel("chat", { params: { roomId: "a" } });
  channel.subscribe(() => {});
  client.channel("news").subscribe(() => {});
  await world.advance(1_399);
  expect(said).toEqual([]);
  await world.advance(1);
  const script = world.requests.findLast(({ url }) => url.pathname === "/_tako/client.js");
  if (script) answer(world);
  await world.advance(600);
  // Within two seconds, and once for all channels.
  expect(said.length).toBe(1);
  await world.advance(60_000);
  expect(said.length).toBe(1);
  channel.close();
  return said;
}

const script = (world: World) => world.requests.findLast(({ url }) => url.pathname === "/_tako/client.js");

describe("a channel that does not open", () => {
  test("says that a dev server answers in the server's place", async () => {
    const html = { "content-type": "text/html" };
    const [why] = await unreachable({ url: "http://localhost:5173" }, (world) => script(world)?.answer(200, "<html>", html));
    expect(why).toContain("What answers at http://localhost:5173 is not takotwist (200 text/html)");
    expect(why).toContain("chat?roomId=a");
  });

  test("says that the server is not there", async () => {
    const [why] = await unreachable({}, (world) => script(world)?.failed());
    expect(why).toContain("Nothing that this page may read answers at http://localhost:8080");
  });

  test("says so too where nothing answers at all", async () => {
    const [why] = await unreachable({}, () => {});
    expect(why).toContain("no answer");
    expect(why).toContain("is the server running there?");
  });

  test("names the page's origin where the server is there and may refuse it", async () => {
    const [why] = await unreachable({ transport: "sse" }, (world) => script(world)?.text("/*! takotwist 0.1.0 | MIT */"));
    expect(why).toContain("Does its http.allowed_origins have http://localhost:5173?");
  });

  test("says that WebSockets may be cut off where the page is the server's own", async () => {
    const answer = (world: World) => script(world)?.text("/*! takotwist 0.1.0 | MIT */");
    const [why] = await unreachable({ transport: "websocket" }, answer, "http://localhost:8080");
    expect(why).toContain("cut off WebSockets");
  });
});

test("a refused origin is named, in the error and in the console", async () => {
  const { world, client, said } = setup();
  const channel = client.channel("chat");
  channel.subscribe(() => {});
  await world.settle();
  world.socket.lose(4403, "origin-rejected");
  await world.settle();
  expect([channel.state, channel.error?.code]).toEqual(["closed", "origin-rejected"]);
  expect(channel.error?.message).toContain("http://localhost:5173");
  expect(said).toEqual([expect.stringContaining("origin-rejected: The server takes no pages of http://localhost:5173")]);
});

test("nothing is said where it opens, is closed in time, or nobody is to be told", async () => {
  const { world, client, said } = setup();
  const channel = client.channel("chat");
  channel.subscribe(() => {});
  await world.accept();
  await world.advance(5_000);
  world.socket.lose();
  await world.advance(0);
  client.channel("other").subscribe(() => {});
  channel.close();
  await world.accept();
  await world.advance(5_000);
  const brief = client.channel("brief", { url: "http://localhost:1" });
  brief.subscribe(() => {});
  await world.settle();
  brief.close();
  await world.advance(5_000);
  expect(said).toEqual([]);

  const quiet = setup({ explain: undefined } as ChannelOptions);
  const silent = quiet.client.channel("chat");
  silent.subscribe(() => {});
  await quiet.world.advance(5_000);
  expect(quiet.world.requests.some(({ url }) => url.pathname.endsWith("client.js"))).toBe(false);
  silent.close();
  await quiet.world.settle();
  expect([quiet.world.timers.size, quiet.world.sleepers.size]).toEqual([0, 0]);
});

describe("whether a page is developed", () => {
  test.each([
    ["development", "https://app.example", true],
    ["production", "http://localhost:5173", false],
    ["test", "http://localhost:5173", false],
    ["", "http://localhost:5173", true],
    ["", "http://127.0.0.1:8080", true],
    ["", "http://[::1]:8080", true],
    ["", "https://shop.localhost", true],
    ["", "https://app.example", false],
    ["", "https://localhost.example", false],
  ])("is said by NODE_ENV %j, else by the host of %s", (mode, page, developed) => {
    vi.stubEnv("NODE_ENV", mode);
    vi.stubGlobal("location", { hostname: new URL(page).hostname });
    expect(isDevelopment()).toBe(developed);
  });

  test("never holds in Node that does not say so", () => {
    vi.stubEnv("NODE_ENV", "");
    vi.stubGlobal("location", undefined);
    expect(isDevelopment()).toBe(false);
  });
});
