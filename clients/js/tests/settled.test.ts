/** Nothing that a caller waits for stays pending, whatever they gave. */

import { describe, expect, test } from "vitest";
import { type ChannelOptions, createClient, type Params } from "../src/index.js";
import { World } from "./world.js";

/** As a text box with `maxlength` cuts an emoji. */
const CUT = "Great \u{1F600}".slice(0, 7);

function setup(options: ChannelOptions = {}) {
  const world = new World();
  const client = createClient({ ...world.environment, url: "https://x.example" });
  return { world, client, channel: client.channel("chat", options) };
}

const circle: unknown[] = [];
circle.push(circle);

describe("a publish of what JSON would change in silence", () => {
  test.each<[string, unknown, string]>([
    ["half of a surrogate pair", CUT, "surrogate"],
    ["the other half", "\uDE00", "surrogate"],
    ["one deep inside", { list: [{ text: CUT }] }, "'text'"],
    ["one in a name", { [CUT]: 1 }, "surrogate"],
    ["nothing", undefined, "undefined"],
    ["nothing in a list", [1, undefined], "undefined"],
    ["a hole in a list", [1, , 2], "undefined"],
    ["NaN", { price: Number.NaN }, "NaN, which is at 'price'"],
    ["Infinity", -Infinity, "-Infinity"],
    ["a BigInt", { id: 10n }, "bigint, which is at 'id'"],
    ["a function", { onClick() {} }, "function"],
    ["a symbol", Symbol("x"), "symbol"],
    ["a Map", new Map([[1, 2]]), "Map"],
    ["a Set", { tags: new Set() }, "Set, which is at 'tags'"],
    ["bytes", new Uint8Array(3), "Uint8Array"],
    ["a file", new Blob(["x"]), "Blob"],
    ["a promise", { later: Promise.resolve(1) }, "Promise"],
    ["a circle", circle, "circular"],
  ])("is refused at once: %s", async (_name, data, place) => {
    const { world, channel } = setup();
    const refused = channel.publish("msg", data);
    await expect(refused).rejects.toMatchObject({ name: "TakoError", code: "body-invalid" });
    await expect(refused).rejects.toThrow(place);
    channel.close();
    await world.settle();
  });

  test("is refused for its type too", async () => {
    const { channel } = setup();
    await expect(channel.publish(CUT, 1)).rejects.toMatchObject({ code: "body-invalid" });
    await expect(channel.publish(undefined as never, 1)).rejects.toMatchObject({ code: "body-invalid" });
    channel.close();
  });

  test("takes no room: the page can publish after any number of them", async () => {
    const { world, channel } = setup();
    channel.subscribe(() => {});
    await world.accept();
    for (let each = 0; each < 300; each++) await expect(channel.publish("msg", CUT)).rejects.toThrow("surrogate");
    const good = channel.publish("msg", "good \u{1F600} \\ud83d");
    expect(world.socket.last("publish").data).toBe("good \u{1F600} \\ud83d");
    world.socket.frame({ op: "ack", ref: world.socket.last("publish").ref, id: "9" });
    expect(await good).toBe("9");
    channel.close();
  });

  test("but dates are their text, and members that are undefined are left out", async () => {
    class Point {
      x = 1;
    }
    const { world, channel } = setup();
    channel.subscribe(() => {});
    await world.accept();
    void channel.publish("msg", { at: new Date(0), none: undefined, null: null, point: new Point(), where: new URL("https://x.example/") });
    expect(world.socket.last("publish").data).toEqual({
      at: "1970-01-01T00:00:00.000Z",
      null: null,
      point: { x: 1 },
      where: "https://x.example/",
    });
    channel.publish("msg", 0).catch(() => {});
  });
});

describe("params that cannot be said as they are", () => {
  test.each<[string, unknown]>([
    ["half of a surrogate pair", { roomId: CUT }],
    ["one in a name", { [CUT]: 1 }],
    ["one in a list", { tags: ["a", CUT] }],
    ["NaN", { roomId: Number.NaN }],
    ["Infinity", { roomId: Infinity }],
    ["a function", { roomId() {} }],
    ["a symbol", { roomId: Symbol("x") }],
    ["a Date", { since: new Date() }],
    ["a Map", { roomId: new Map() }],
    ["an object", { roomId: { a: 1 } }],
    ["a list in a list", { tags: [["a"]] }],
    ["null in a list", { tags: [null] }],
    ["undefined in a list", { tags: [undefined] }],
    ["a Map of params", new Map([["roomId", "a"]])],
  ])("close the channel with params-invalid, and all that waits for it: %s", async (_name, params) => {
    const { world, client } = setup();
    const channel = client.channel("chat", { params: params as Params });
    const states: string[] = [];
    channel.onState((state, error) => states.push(`${state} ${error?.code}`));
    const refused = expect(channel.publish("msg", 1)).rejects.toMatchObject({ code: "params-invalid" });
    const history = expect(channel.history()).rejects.toMatchObject({ code: "params-invalid" });
    const next = expect(channel[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: "params-invalid" });
    await Promise.all([refused, history, next]);
    expect(states).toEqual(["closed params-invalid"]);
    expect(channel.error?.message).not.toBe("params-invalid");
    expect([world.sockets.length, world.requests.length, world.timers.size, world.sleepers.size]).toEqual([0, 0, 0, 0]);
  });

  test("and a name likewise", async () => {
    const { client } = setup();
    await expect(client.channel(CUT).publish("msg", 1)).rejects.toMatchObject({ code: "params-invalid" });
  });

  test("null and undefined are left out, and a BigInt is its digits, over all carriers", async () => {
    const { world, client } = setup();
    const params = { roomId: 12345678901234567890n, a: null, b: undefined };
    client.channel("chat", { params }).subscribe(() => {});
    await world.accept();
    expect(world.socket.last("subscribe").params).toEqual({ roomId: "12345678901234567890" });
    client.channel("chat", { params, transport: "sse" }).subscribe(() => {});
    await world.settle();
    expect(world.request.url.search).toBe("?roomId=12345678901234567890&stale=reset");
  });
});

describe("credentials that hang", () => {
  test.each(["websocket", "sse"] as const)("are given up, said, and asked for again over %s", async (transport) => {
    let asked = 0;
    const { world, channel } = setup({
      transport,
      credentials: () => (++asked === 1 ? new Promise<string>(() => {}) : "Bearer ok"),
    });
    channel.subscribe(() => {});
    await world.settle();
    if (transport === "websocket") world.socket.open(60_000);
    await world.advance(14_999);
    expect([asked, channel.error]).toEqual([1, undefined]);
    const states: unknown[] = [];
    channel.onState((state, error) => states.push([state, error?.code]));
    await world.advance(1);
    expect(states[0]).toEqual(["connecting", "credentials-failed"]);
    expect(asked).toBe(2);
    channel.close();
    await world.settle();
    expect([world.timers.size, world.sleepers.size]).toEqual([0, 0]);
  });

  test("hold up neither close nor history", async () => {
    const { world, channel } = setup({ transport: "sse", credentials: () => new Promise(() => {}) });
    const waiting = expect(channel.publish("msg", 1)).rejects.toMatchObject({ code: "channel-closed" });
    const history = expect(channel.history()).rejects.toMatchObject({ code: "credentials-failed" });
    await world.advance(15_000);
    await history;
    const closed = expect(channel.history()).rejects.toMatchObject({ code: "channel-closed" });
    channel.close();
    await Promise.all([waiting, closed]);
    await world.settle();
    expect([world.timers.size, world.sleepers.size]).toEqual([0, 0]);
  });

  test("that are no text have failed", async () => {
    const { world, channel } = setup({ transport: "sse", credentials: (() => ({ token: 10n })) as never });
    channel.subscribe(() => {});
    await world.settle();
    expect(channel.error?.code).toBe("credentials-failed");
    channel.close();
  });
});

describe("a refusal whose ref the server could not read", () => {
  async function publishing() {
    const { world, client, channel } = setup();
    channel.subscribe(() => {});
    await world.accept();
    const outcomes: Record<string, unknown> = {};
    const publish = (data: string) => {
      channel.publish("msg", data).then((id) => (outcomes[data] = id), ({ code }) => (outcomes[data] = code));
      return world.socket.last("publish").ref;
    };
    const orphan = (code = "body-invalid") => world.socket.frame({ op: "error", ref: null, code, error: "cut" });
    return { world, client, channel, outcomes, publish, orphan };
  }

  test("is of the only frame without an answer", async () => {
    const { world, outcomes, publish, orphan } = await publishing();
    publish("a");
    orphan();
    await world.settle();
    expect(outcomes).toEqual({ a: "body-invalid" });
  });

  test("is of the one that is left when the others have answers", async () => {
    const { world, outcomes, publish, orphan } = await publishing();
    const a = publish("a");
    publish("b");
    const c = publish("c");
    orphan();
    const later = publish("later");
    world.socket.frame({ op: "ack", ref: c, id: "2" });
    await world.settle();
    expect(outcomes).toEqual({ c: "2" });
    world.socket.frame({ op: "ack", ref: a, id: "1" });
    await world.settle();
    expect(outcomes).toEqual({ a: "1", b: "body-invalid", c: "2" });
    world.socket.frame({ op: "ack", ref: later, id: "3" });
    await world.settle();
    expect(outcomes.later).toBe("3");
  });

  test("is told though a topic that was asked for at the same time was left", async () => {
    const { world, client, outcomes, publish, orphan } = await publishing();
    const left = client.channel("left");
    left.subscribe(() => {});
    await world.settle();
    const { ref } = world.socket.last("subscribe");
    publish("a");
    orphan();
    left.close();
    await world.settle();
    world.socket.frame({ op: "ack", ref, cursor: "1", params: {} });
    await world.settle();
    expect(outcomes).toEqual({ a: "body-invalid" });
  });

  test("is nobody's where nobody waits, or where it says something else", async () => {
    const { world, channel, outcomes, publish, orphan } = await publishing();
    orphan();
    const ref = publish("a");
    orphan("rate-limited");
    world.socket.frame({ op: "ack", ref, id: "1" });
    await world.settle();
    expect([channel.state, outcomes]).toEqual(["open", { a: "1" }]);
  });
});

test("a publish without an answer when its topic is gone is sent again from where it goes on", async () => {
  let goOn: (cursor: string) => void = () => {};
  const { world, channel } = setup({ onGone: () => new Promise<string>((resolve) => (goOn = resolve)) });
  channel.subscribe(() => {});
  await world.accept();
  const published = channel.publish("msg", "hi");
  const { idempotencyKey } = world.socket.last("publish");
  world.socket.frame({ op: "error", ref: world.socket.last("subscribe").ref, code: "replay-too-old", error: "" });
  await world.settle();
  goOn("7");
  await world.settle();
  world.socket.frame({ op: "ack", ref: world.socket.last("subscribe").ref, cursor: "7", params: {} });
  await world.settle();
  expect(world.socket.last("publish").idempotencyKey).toBe(idempotencyKey);
  world.socket.frame({ op: "ack", ref: world.socket.last("publish").ref, id: "8" });
  expect(await published).toBe("8");
});

test("a publish refused because credentials expired is sent again, though its topic goes on", async () => {
  const { world, channel } = setup();
  channel.subscribe(() => {});
  await world.accept();
  const published = channel.publish("msg", "hi");
  world.socket.frame({ op: "error", ref: world.socket.last("publish").ref, code: "credentials-expired", error: "" });
  await world.advance(0);
  expect(world.socket.count("publish")).toBe(2);
  world.socket.frame({ op: "ack", ref: world.socket.last("publish").ref, id: "5" });
  expect(await published).toBe("5");
  channel.close();
  await world.settle();
  expect([world.timers.size, world.sleepers.size]).toEqual([0, 0]);
});
