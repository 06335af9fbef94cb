/** The connection that all channels of a page share. */

import { describe, expect, test } from "vitest";
import { createClient } from "../src/index.js";
import { message, World } from "./world.js";

const url = "https://x.example";

function setup() {
  const world = new World();
  return { world, client: createClient({ ...world.environment, url }) };
}

describe("one connection", () => {
  test("carries twenty channels of a page, one subscription each", async () => {
    const { world, client } = setup();
    const seen: string[] = [];
    const channels = Array.from({ length: 20 }, (_, room) => client.channel("chat", { params: { room } }));
    channels.forEach((channel, room) => channel.subscribe((got) => seen.push(`${room}:${got.id}`)));
    await world.accept();
    expect(world.sockets.length).toBe(1);
    expect(world.socket.url).toBe("wss://x.example/_tako/connect");
    expect(world.socket.protocols).toEqual(["tako.v1"]);
    expect(world.socket.count("subscribe")).toBe(20);
    expect(channels.every(({ state }) => state === "open")).toBe(true);
    world.socket.frame(message("7", { room: 13 }));
    expect(seen).toEqual(["13:7"]);
    channels.forEach((channel) => channel.close());
    await world.settle();
    expect(world.socket.closed).toBe(true);
    expect([world.timers.size, world.sleepers.size]).toEqual([0, 0]);
  });

  test("has one subscription for all who name the same topic, however they spell it", async () => {
    const { world, client } = setup();
    const seen: string[] = [];
    const one = client.channel("chat", { params: { a: 1, b: "x" } });
    const two = client.channel("chat", { params: { b: "x", a: "1" } });
    one.subscribe(({ id }) => seen.push(`one ${id}`));
    two.subscribe(({ id }) => seen.push(`two ${id}`));
    await world.accept();
    expect(world.socket.count("subscribe")).toBe(1);
    world.socket.frame(message("2", { a: 1, b: "x" }));
    one.close();
    await world.settle();
    expect(world.socket.count("unsubscribe")).toBe(0);
    world.socket.frame(message("3", { a: 1, b: "x" }));
    expect(seen).toEqual(["one 2", "two 2", "two 3"]);
    two.close();
    await world.settle();
    expect(world.socket.count("unsubscribe")).toBe(1);
  });

  test("is not shared by a topic that starts at a cursor of its own", async () => {
    const { world, client } = setup();
    client.channel("chat").subscribe(() => {});
    client.channel("chat", { cursor: "5" }).subscribe(() => {});
    await world.settle();
    world.sockets.forEach((socket) => socket.open());
    await world.settle();
    expect(world.sockets.map((socket) => socket.last("subscribe").cursor)).toEqual([undefined, "5"]);
  });

  test("closed and opened again in one turn, as strict mode does, is one connection", async () => {
    const { world, client } = setup();
    const first = client.channel("chat");
    first.subscribe(() => {});
    first.close();
    client.channel("chat").subscribe(() => {});
    await world.accept();
    expect(world.sockets.length).toBe(1);
    expect(world.socket.count("subscribe")).toBe(1);
  });

  test("never opens for what was closed in the same turn", async () => {
    const { world, client } = setup();
    const channel = client.channel("chat");
    channel.subscribe(() => {});
    channel.close();
    await world.settle();
    expect(world.sockets.length).toBe(0);
    expect([world.timers.size, world.sleepers.size]).toEqual([0, 0]);
  });

  test("ends with everything on it when the server refuses the page", async () => {
    const { world, client } = setup();
    const channel = client.channel("chat");
    channel.subscribe(() => {});
    await world.settle();
    world.socket.lose(4403, "origin-rejected");
    await world.settle();
    expect([channel.state, channel.error?.code]).toEqual(["closed", "origin-rejected"]);
    expect([world.timers.size, world.sleepers.size]).toEqual([0, 0]);
  });
});

describe("reconnecting", () => {
  test("is reported as a state, with the reason", async () => {
    const { world, client } = setup();
    const states: string[] = [];
    const channel = client.channel("chat");
    channel.onState((state, error) => states.push(`${state} ${error?.code ?? ""}`.trim()));
    channel.subscribe(() => {});
    expect(channel.state).toBe("connecting");
    await world.accept("41");
    world.socket.lose(1011, "internal-error");
    await world.settle();
    await world.advance(0);
    await world.accept("41");
    expect(world.socket.last("subscribe").cursor).toBe("41");
    channel.close();
    expect(states).toEqual(["open", "reconnecting internal-error", "open", "closed"]);
  });

  test("is at once when the connection's lifetime is over", async () => {
    const { world, client } = setup();
    world.chance = 0.9;
    client.channel("chat").subscribe(() => {});
    await world.accept();
    await world.advance(6_000);
    world.socket.lose(1000, "connection expired");
    await world.advance(0);
    expect(world.sockets.length).toBe(2);
  });

  test("is spread where the server stops", async () => {
    const { world, client } = setup();
    world.chance = 0.9;
    client.channel("chat").subscribe(() => {});
    await world.accept();
    await world.advance(6_000);
    world.socket.lose(1001, "shutting-down");
    await world.advance(449);
    expect(world.sockets.length).toBe(1);
    await world.advance(2);
    expect(world.sockets.length).toBe(2);
  });

  test("does not wait out its delay when the page is online or visible again", async () => {
    const { world, client } = setup();
    world.chance = 0.9;
    client.channel("chat", { transport: "websocket" }).subscribe(() => {});
    await world.settle();
    for (let failure = 0; failure < 6; failure++) {
      world.socket.lose();
      await world.advance(30_000);
    }
    world.socket.lose();
    const before = world.sockets.length;
    await world.wake();
    expect(world.sockets.length).toBe(before + 1);
  });

  test("begins when nobody answers a connection that is being made", async () => {
    const { world, client } = setup();
    client.channel("chat", { transport: "websocket" }).subscribe(() => {});
    await world.settle();
    await world.advance(9_999);
    expect(world.sockets.length).toBe(1);
    await world.advance(1);
    expect(world.sockets.length).toBe(2);
  });
});

describe("a topic that the server ends", () => {
  async function refused(code: string, more: object = {}) {
    const { world, client } = setup();
    const channel = client.channel("chat");
    channel.subscribe(() => {});
    await world.accept();
    world.socket.frame({ op: "error", ref: world.socket.last("subscribe").ref, code, error: "", ...more });
    return { world, channel };
  }

  test("is subscribed again on the same connection, when the server says", async () => {
    const { world, channel } = await refused("overloaded", { retryAfterMs: 2_000 });
    expect(channel.state).toBe("reconnecting");
    await world.advance(1_999);
    expect(world.socket.count("subscribe")).toBe(1);
    await world.advance(1);
    expect([world.socket.count("subscribe"), world.sockets.length]).toEqual([2, 1]);
  });

  test("keeps its own delay when the connection is cut meanwhile", async () => {
    const { world, channel } = await refused("overloaded", { retryAfterMs: 10_000 });
    world.socket.lose();
    await world.advance(0);
    world.socket.open();
    await world.settle();
    expect(world.socket.count("subscribe")).toBe(0);
    expect(channel.error?.code).toBe("overloaded");
    await world.advance(10_000);
    expect(world.socket.count("subscribe")).toBe(1);
  });

  test("leaves nothing behind when it is closed while it waits", async () => {
    const { world, channel } = await refused("overloaded");
    channel.close();
    await world.settle();
    expect([world.timers.size, world.sleepers.size, world.socket.closed]).toEqual([0, 0, true]);
  });

  test("is not sent the answer to an older connection's frame", async () => {
    const { world, client } = setup();
    const channel = client.channel("chat");
    const published: unknown[] = [];
    channel.subscribe(() => {});
    await world.accept();
    channel.publish("msg", 1).then((id) => published.push(id), () => {});
    const { ref } = world.socket.last("publish");
    world.socket.lose();
    await world.advance(0);
    world.socket.open();
    await world.settle();
    world.socket.frame({ op: "ack", ref, id: "9" });
    await world.settle();
    expect(published).toEqual([]);
    channel.close();
  });

  test("asks the newest listener for credentials", async () => {
    const { world, client } = setup();
    client.channel("chat", { credentials: () => "Bearer old" }).subscribe(() => {});
    await world.accept();
    client.channel("chat", { credentials: () => "Bearer new" }).subscribe(() => {});
    world.socket.lose();
    await world.advance(0);
    await world.accept();
    expect(world.socket.last("subscribe").auth).toBe("Bearer new");
  });
});

describe("an SSE stream", () => {
  async function streaming() {
    const { world, client } = setup();
    const channel = client.channel("chat", { transport: "sse" });
    channel.subscribe(() => {});
    await world.settle();
    world.request.stream();
    world.request.bytes("id: 5\n\n");
    await world.settle();
    return { world, channel };
  }

  test("that was silent for a keepalive is opened anew when the page wakes up", async () => {
    const { world } = await streaming();
    world.time += 24_000;
    await world.wake();
    expect(world.requests.length).toBe(1);
    world.time += 2_000;
    await world.wake();
    await world.advance(0);
    expect(world.requests.length).toBe(2);
    expect(world.request.headers.get("last-event-id")).toBe("5");
  });

  test("whose block has no end is given up, not kept in memory", async () => {
    const { world, channel } = await streaming();
    for (let piece = 0; piece < 5; piece++) world.request.bytes(`data: ${"x".repeat(2 ** 20)}\n`);
    await world.settle();
    expect([channel.state, channel.error?.code]).toEqual(["closed", "protocol-broken"]);
  });
});

describe("a silent connection", () => {
  test("is asked after one of the server's keepalives and dead after two", async () => {
    const { world, client } = setup();
    client.channel("chat").subscribe(() => {});
    await world.settle();
    world.socket.open(2_000);
    await world.advance(1_999);
    expect(world.socket.count("ping")).toBe(0);
    await world.advance(1);
    const { ref } = world.socket.last("ping");
    world.socket.frame({ op: "pong", ref });
    await world.advance(1_999);
    expect(world.socket.count("ping")).toBe(1);
    await world.advance(1);
    expect(world.socket.count("ping")).toBe(2);
    await world.advance(2_000);
    expect(world.sockets.length).toBe(2);
    expect(world.sockets[0]?.closed).toBe(true);
  });

  test("is asked at once when the page wakes up, and given five seconds", async () => {
    const { world, client } = setup();
    client.channel("chat").subscribe(() => {});
    await world.accept();
    world.time += 3_600_000;
    await world.wake();
    expect(world.socket.count("ping")).toBe(1);
    await world.advance(4_999);
    expect(world.sockets.length).toBe(1);
    await world.advance(1);
    expect(world.sockets.length).toBe(2);
  });
});

describe("a page that is left, and that the browser keeps to go back to", () => {
  test.each(["auto", "sse"] as const)("holds no connection over %s, and is connected again when it is shown", async (transport) => {
    const { world, client } = setup();
    const channel = client.channel("chat", { transport });
    channel.subscribe(() => {});
    await world.settle();
    if (transport === "auto") await world.accept();
    else world.request.stream();
    await world.settle();
    expect(channel.state).toBe("open");
    [...world.leavers].forEach((leave) => leave());
    await world.settle();
    expect(channel.state).toBe("reconnecting");
    expect(transport === "auto" ? world.socket.closed : !world.request.live).toBe(true);
    const before = world.sockets.length + world.requests.length;
    await world.wake();
    expect(world.sockets.length + world.requests.length).toBe(before + 1);
  });
});

describe("where WebSocket is blocked", () => {
  test("each channel takes SSE, and moves over without loss once it is not", async () => {
    const { world, client } = setup();
    const seen: (string | undefined)[] = [];
    const channel = client.channel("chat");
    channel.subscribe(({ id }) => seen.push(id));
    await world.settle();
    world.socket.lose();
    await world.settle();
    expect(world.requests.length).toBe(1);
    world.request.stream();
    await world.settle();
    world.request.bytes(`id: 1\n\nid: 2\ndata: ${JSON.stringify(message("2"))}\n\n`);
    await world.settle();
    expect([channel.state, seen]).toEqual(["open", ["2"]]);
    await world.advance(0);
    await world.accept("2");
    expect(world.request.live).toBe(false);
    expect(world.socket.last("subscribe").cursor).toBe("2");
    world.socket.frame(message("3", {}));
    expect(seen).toEqual(["2", "3"]);
    channel.close();
    await world.settle();
    expect([world.timers.size, world.sleepers.size]).toEqual([0, 0]);
  });

  test("a connection that worked before is given three tries, because a restart is likelier", async () => {
    const { world, client } = setup();
    client.channel("chat").subscribe(() => {});
    await world.accept();
    for (const requests of [0, 0, 0]) {
      world.socket.lose();
      await world.settle();
      expect(world.requests.length).toBe(requests);
      await world.advance(0);
    }
    world.socket.lose();
    await world.settle();
    expect(world.requests.length).toBe(1);
  });

  test("a stand-in publishes nothing: that waits for the connection that worked before", async () => {
    const { world, client } = setup();
    const channel = client.channel("chat");
    channel.subscribe(() => {});
    await world.accept();
    for (let failures = 0; failures < 4; failures++) {
      world.socket.lose();
      await world.settle();
      await world.advance(0);
    }
    world.request.stream();
    await world.settle();
    expect(channel.state).toBe("open");
    const published = channel.publish("msg", "hi");
    await world.settle();
    // A POST that is refused would be an error in the page's console, whatever we make of it.
    expect(world.request.method).toBe("GET");
    await world.accept();
    const { ref, data } = world.socket.last("publish");
    expect(data).toBe("hi");
    world.socket.frame({ op: "ack", ref, id: "7" });
    expect(await published).toBe("7");
  });

  test("but is refused where none ever worked", async () => {
    const { world, client } = setup();
    const channel = client.channel("chat");
    channel.subscribe(() => {});
    await world.settle();
    world.socket.lose();
    await world.settle();
    world.request.stream();
    await world.settle();
    const refused = expect(channel.publish("msg", "hi")).rejects.toMatchObject({ code: "credentials-missing" });
    await world.settle();
    world.request.answer(401, { code: "credentials-missing", error: "a publish key is wanted" });
    await refused;
  });

  test("and where there is none at all, everything is SSE", async () => {
    const world = new World();
    const client = createClient({ ...world.environment, WebSocket: undefined, url });
    client.channel("chat", { params: { roomId: "a" }, credentials: "Bearer abc", header: "x-token" }).subscribe(() => {});
    await world.settle();
    expect(world.request.url.href).toBe("https://x.example/_tako/channels/chat?roomId=a&stale=reset");
    expect(world.request.headers.get("x-token")).toBe("Bearer abc");
  });
});
