/** The client of Node against a server on real sockets. */

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Channel, createClient, type Client, type ClientOptions } from "../src/node.js";
import { FakeServer } from "./server.js";

let server: FakeServer;
let opened: Channel[];

beforeEach(async () => {
  server = new FakeServer();
  opened = [];
  await server.listen();
});

afterEach(async () => {
  opened.forEach((channel) => channel.close());
  await server.close();
});

function open(client: Client, params: Record<string, string> = {}): Channel {
  const channel = client.channel("chat", { params });
  opened.push(channel);
  return channel;
}

/** The next `count` messages' data. */
async function take(channel: Channel, count: number): Promise<unknown[]> {
  const seen: unknown[] = [];
  for await (const { data } of channel) if (seen.push(data) === count) break;
  return seen;
}

async function until(channel: Channel, state: string): Promise<void> {
  if (channel.state !== state) await new Promise<void>((resolve) => channel.onState((now) => now === state && resolve()));
}

const connect = (options: ClientOptions = {}) => createClient({ url: server.url, ...options });

describe.each(["auto", "websocket", "sse"] as const)("over %s", (transport) => {
  test("messages arrive once and in order over any number of cuts", async () => {
    const channel = open(connect({ transport, random: () => 0.1 }), { roomId: "a" });
    const all = take(channel, 60);
    await until(channel, "open");
    for (let number = 0; number < 60; number++) {
      server.publish("chat", { roomId: "a" }, "msg", number);
      server.publish("chat", { roomId: "b" }, "msg", "elsewhere");
      if (number % 10 === 5) {
        server.cut();
        await until(channel, "reconnecting");
      }
      if (number % 10 === 8) await until(channel, "open");
    }
    expect(await all).toEqual(Array.from({ length: 60 }, (_, number) => number));
  });

  test("what waited through an outage is stored once, though it is over the server's rate", async () => {
    const channel = open(connect({ transport, random: () => Math.random() / 5 }));
    channel.subscribe(() => {});
    await until(channel, "open");
    server.between = "HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\n\r\n";
    server.cut();
    await until(channel, "reconnecting");
    const publishes = Array.from({ length: 256 }, (_, number) => channel.publish("msg", number));
    server.rate = { burst: 200, perSecond: 100 };
    server.between = undefined;
    const ids = await Promise.all(publishes);
    expect(server.refused).toBeGreaterThan(0);
    expect(new Set(ids).size).toBe(256);
    expect([...server.log].sort((one, other) => Number(one) - Number(other))).toEqual(publishes.map((_, number) => number));
    expect(server.log.slice(0, 200)).toEqual(publishes.slice(0, 200).map((_, number) => number));
  });

  test("what is published is stored once and comes back", async () => {
    const channel = open(connect({ transport }));
    const all = take(channel, 2);
    const ids = await Promise.all([channel.publish("msg", "one"), channel.publish("msg", "two")]);
    expect(await all).toEqual(["one", "two"]);
    expect(new Set(ids).size).toBe(2);
    expect(server.stored).toBe(2);
  });
});

describe.each([
  ["a page", "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<h1>Sign in</h1>"],
  ["a redirect", "HTTP/1.1 302 Found\r\nlocation: /\r\nconnection: close\r\n\r\n"],
  ["a router's 404", "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\nno backend"],
  ["a firewall's 403", "HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n"],
  ["a head that is cut", "HTTP/1.1 200 OK\r\ncontent-ty"],
])("%s of somebody between", (_name, answer) => {
  test.each(["auto", "websocket", "sse"] as const)("is waited out over %s", async (transport) => {
    const channel = open(connect({ transport, random: () => 0.1 }));
    const all = take(channel, 1);
    await until(channel, "open");
    server.between = answer;
    server.cut();
    await until(channel, "reconnecting");
    const { answered } = server;
    while (server.answered < answered + 3) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(channel.state).toBe("reconnecting");
    expect(channel.error?.message).toBeTruthy();
    server.between = undefined;
    server.publish("chat", {}, "msg", "meanwhile");
    expect(await all).toEqual(["meanwhile"]);
  });
});

test("twenty channels use one connection", async () => {
  const client = connect();
  const channels = Array.from({ length: 20 }, (_, room) => open(client, { roomId: String(room) }));
  const first = channels.map((channel) => take(channel, 1));
  await Promise.all(channels.map((channel) => until(channel, "open")));
  channels.forEach((_, room) => server.publish("chat", { roomId: String(room) }, "msg", room));
  expect((await Promise.all(first)).flat()).toEqual(channels.map((_, room) => room));
  expect([server.upgrades, server.subscribes]).toEqual([1, 20]);
});

test("where upgrades are cut off it falls back to SSE", async () => {
  server.websocket = false;
  const channel = open(connect());
  const first = take(channel, 1);
  await until(channel, "open");
  server.publish("chat", {}, "msg", "through");
  expect(await first).toEqual(["through"]);
});

test("history is read from the server", async () => {
  server.publish("chat", {}, "msg", 1);
  const page = await open(connect()).history();
  expect(page.messages.map(({ data }) => data)).toEqual([1]);
});

test("refused credentials are asked for again", async () => {
  server.token = "Bearer fresh";
  const channel = connect({ credentials: ({ refused }) => (refused ? "Bearer fresh" : "Bearer stale") }).channel("chat");
  opened.push(channel);
  channel.subscribe(() => {});
  await until(channel, "open");
  expect(server.subscribes).toBe(2);
});
