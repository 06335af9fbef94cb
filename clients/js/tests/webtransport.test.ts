/** Channels over WebTransport, with a session that the test plays. */

import { describe, expect, test } from "vitest";
import { createClient } from "../src/index.js";
import { type Channel, createLive } from "../src/live.js";
import { webTransport, type WebTransportLike } from "../src/webtransport.js";
import { message, World } from "./world.js";

const url = "https://x.example";

class FakeSession implements WebTransportLike {
  static all: FakeSession[] = [];
  readonly url: string;
  readonly options: object;
  readonly sent: string[] = [];
  closedWith: object | undefined;
  readonly ready: Promise<unknown>;
  readonly closed: Promise<{ closeCode?: number; reason?: string }>;
  connected: () => void = () => {};
  refuse: (error: Error) => void = () => {};
  #over: (info: { closeCode?: number; reason?: string }) => void = () => {};
  #failed: (error: Error) => void = () => {};
  #out: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(url: string, options: object) {
    this.url = url;
    this.options = options;
    this.ready = new Promise((resolve, reject) => {
      this.connected = () => resolve(undefined);
      this.refuse = (error) => (reject(error), this.#failed(error));
    });
    this.closed = new Promise((resolve, reject) => ([this.#over, this.#failed] = [resolve, reject]));
    FakeSession.all.push(this);
  }

  async createBidirectionalStream() {
    const readable = new ReadableStream<Uint8Array>({ start: (controller) => void (this.#out = controller) });
    const writable = new WritableStream<Uint8Array>({
      write: (chunk) => void this.sent.push(new TextDecoder().decode(chunk)),
    });
    return { readable, writable };
  }

  close(info: object = {}): void {
    this.closedWith ??= info;
    this.#over(info);
  }

  /** The server writes. */
  bytes(bytes: Uint8Array): void {
    this.#out?.enqueue(bytes);
  }

  frame(frame: unknown): void {
    this.bytes(new TextEncoder().encode(`${JSON.stringify(frame)}\n`));
  }

  frames(op: string): Record<string, unknown>[] {
    const all = this.sent.filter((line) => line.trim()).map((line) => JSON.parse(line) as Record<string, unknown>);
    return all.filter((frame) => frame.op === op);
  }

  /** The server closes the session. */
  over(closeCode: number, reason: string): void {
    this.#out?.error(new Error("session closed"));
    this.#over({ closeCode, reason });
  }

  /** The connection is gone. */
  cut(): void {
    this.#out?.error(new Error("lost"));
    this.#failed(new Error("lost"));
  }
}

function setup(options: object = {}) {
  FakeSession.all = [];
  const world = new World();
  const transport = webTransport({ WebTransport: FakeSession, ...options });
  const client = createClient({ ...world.environment, url, transport });
  return { world, client, session: () => FakeSession.all.at(-1) as FakeSession };
}

/** The session opens, and every subscribe on it is acknowledged. */
async function accept(world: World, session: FakeSession, cursor = "1"): Promise<void> {
  session.connected();
  await world.settle();
  session.frame({ op: "open", connection: "c1", lifecycle: { keepaliveIntervalMs: 25_000 } });
  await world.settle();
  for (const { ref, params } of session.frames("subscribe")) session.frame({ op: "ack", ref, cursor, params });
  await world.settle();
}

describe("channels over WebTransport", () => {
  test("share one session and one stream, and say first that the stream is there", async () => {
    const hashes = [{ algorithm: "sha-256", value: new Uint8Array(32) }];
    const { world, client, session } = setup({ serverCertificateHashes: hashes });
    const seen: string[] = [];
    const channels = ["a", "b"].map((room) => client.channel("chat", { params: { room } }));
    for (const channel of channels) channel.subscribe(({ id }) => seen.push(String(id)));
    await world.settle();
    await accept(world, session());
    expect(FakeSession.all.length).toBe(1);
    expect(session().url).toBe("https://x.example/_tako/connect");
    expect(session().options).toEqual({ serverCertificateHashes: hashes, protocols: ["tako.v1"] });
    expect(session().sent[0]).toBe("\n");
    expect(channels.map(({ state }) => state)).toEqual(["open", "open"]);
    session().frame(message("7", { room: "b" }));
    await world.settle();
    expect(seen).toEqual(["7"]);
    expect(world.sockets.length + world.requests.length).toBe(0);
    for (const channel of channels) channel.close();
    await world.settle();
    expect(session().closedWith).toEqual({ closeCode: 1000, reason: "" });
    expect([world.timers.size, world.sleepers.size]).toEqual([0, 0]);
  });

  test("read frames that come cut anywhere, and pass over empty lines", async () => {
    const { world, client, session } = setup();
    const seen: unknown[] = [];
    client.channel("chat").subscribe(({ data }) => seen.push(data));
    await world.settle();
    await accept(world, session());
    const text = `\n${JSON.stringify(message("2", undefined, "msg", "ä€😀\n"))}\n\n`;
    for (const byte of new TextEncoder().encode(text)) {
      session().bytes(Uint8Array.of(byte));
      await world.settle();
    }
    expect(seen).toEqual(["ä€😀\n"]);
  });

  test("publish, and are answered by the id", async () => {
    const { world, client, session } = setup();
    const answer = client.channel("chat").publish("msg", { text: "a" });
    await world.settle();
    await accept(world, session());
    const [publish] = session().frames("publish");
    expect(publish).toMatchObject({ channel: "chat", type: "msg", data: { text: "a" } });
    session().frame({ op: "ack", ref: publish?.ref, id: "5" });
    expect(await answer).toBe("5");
  });

  test.each([
    ["a cut", (session: FakeSession) => session.cut()],
    ["a stop of the server", (session: FakeSession) => session.over(1001, "shutting-down")],
    ["a session that cannot be had again", (session: FakeSession) => session.over(1013, "overloaded")],
  ])("come back with their cursor after %s", async (_, lose) => {
    const { world, client, session } = setup();
    const channel = client.channel("chat");
    channel.subscribe(() => {});
    await world.settle();
    await accept(world, session());
    session().frame(message("9"));
    await world.settle();
    lose(session());
    await world.settle();
    expect(channel.state).toBe("reconnecting");
    await world.advance(5_000);
    session().refuse(new Error("no route"));
    await world.settle();
    await world.advance(60_000);
    expect(FakeSession.all.length).toBeGreaterThanOrEqual(3);
    await accept(world, session());
    expect(session().frames("subscribe")[0]?.cursor).toBe("9");
    expect(channel.state).toBe("open");
  });

  test("that are refused end alone, and are tried anew where that can help", async () => {
    const { world, client, session } = setup();
    const [one, other] = ["a", "b"].map((room) => client.channel("chat", { params: { room } }));
    one?.subscribe(() => {});
    other?.subscribe(() => {});
    await world.settle();
    session().connected();
    await world.settle();
    session().frame({ op: "open", connection: "c1", lifecycle: {} });
    await world.settle();
    const [first, second] = session().frames("subscribe");
    session().frame({ op: "error", ref: first?.ref, code: "auth-unavailable", error: "later" });
    session().frame({ op: "error", ref: second?.ref, code: "verify-rejected", error: "no" });
    await world.settle();
    expect([one?.state, other?.state, other?.error?.code]).toEqual(["connecting", "closed", "verify-rejected"]);
    await world.advance(10_000);
    await accept(world, session());
    expect(one?.state).toBe("open");
  });

  test("say so where there is no WebTransport, or no https", async () => {
    for (const [options, to] of [
      [{ WebTransport: undefined }, url],
      [{}, "http://x.example"],
    ] as const) {
      const { world, client } = setup(options);
      const channel = client.channel("chat", { url: to });
      channel.subscribe(() => {});
      await world.settle();
      expect([channel.state, channel.error?.code]).toEqual(["closed", "no-webtransport"]);
      expect(FakeSession.all).toEqual([]);
    }
  });
});

test("two values of webTransport() are two transports, whose channels share nothing", async () => {
  FakeSession.all = [];
  const world = new World();
  const client = createClient({ ...world.environment, url });
  const [one, other] = ["https://one.example", "https://other.example"].map((to) =>
    client.channel("chat", { transport: webTransport({ WebTransport: FakeSession, url: to }) }),
  );
  one?.subscribe(() => {});
  other?.subscribe(() => {});
  await world.settle();
  expect(FakeSession.all.map((session) => session.url)).toEqual([
    "https://one.example/_tako/connect",
    "https://other.example/_tako/connect",
  ]);
});

describe("live objects over WebTransport", () => {
  async function called(options: object = {}) {
    FakeSession.all = [];
    const world = new World();
    const transport = webTransport({ WebTransport: FakeSession, ...options });
    const client = createClient({ ...world.environment, url });
    const live = createLive({ client, url, transport });
    const result = live.call("onTest") as Promise<Channel>;
    await world.settle();
    world.request.answer(200, { result: null, live: [{ path: [], id: "c", kind: "channel" }] });
    const channel = await result;
    await world.settle();
    return { world, client, live, transport, channel, session: () => FakeSession.all.at(-1) as FakeSession };
  }
  const attached = (ref: unknown) => {
    const open = [{ id: "c", seq: 0, bytes: 1000, messages: 10 }];
    return { op: "live.attached", ref, open, ended: [], settings: {} };
  };

  test("go over to the session that channels share, text and binary as lines", async () => {
    const { world, client, live, transport, channel, session } = await called();
    const got: unknown[] = [];
    channel.listen((message) => void got.push(message));
    channel.listenBinary((data) => void got.push([...data]));
    client.channel("chat", { transport }).subscribe(() => {});
    await world.settle();
    // The event stream, which every live session begins on, is not answered here.
    expect(world.sockets).toEqual([]);
    await accept(world, session());
    expect(FakeSession.all.length).toBe(1);
    session().frame({ op: "pong", ref: session().frames("ping").at(-1)?.ref });
    await world.settle();
    session().frame(attached(session().frames("live.attach")[0]?.ref));
    await world.settle();
    await channel.send("hi");
    await channel.sendBinary(new Uint8Array([0, 10, 255]));
    const frame = Buffer.from([1, 1, 99, 0, 0, 0, 2, 0, 10, 255]).toString("base64");
    expect(session().sent.slice(-2)).toEqual(['{"op":"live","id":"c","do":"send","seq":1,"data":"hi"}\n', `~${frame}\n`]);
    session().bytes(new TextEncoder().encode(`~${Buffer.from([1, 1, 99, 0, 0, 0, 1, 10, 13]).toString("base64")}\n`));
    session().frame({ op: "live", id: "c", do: "send", seq: 2, data: { n: 1 } });
    await world.settle();
    expect(got).toEqual([[10, 13], { n: 1 }]);
    live.close();
  });

  test("stay on the event stream where there is no WebTransport", async () => {
    const { world, live, channel } = await called({ WebTransport: undefined });
    expect(world.requests.at(-1)?.headers.get("accept")).toBe("text/event-stream");
    expect(FakeSession.all).toEqual([]);
    expect(channel.isClosed).toBe(false);
    live.close();
  });
});
