/** Live objects on a network and a clock that the test moves: wires, attaching, ends. */

import { describe, expect, test, vi } from "vitest";
import { ambient } from "../src/environment.js";
import { createClient } from "../src/index.js";
import {
  Abort,
  type BroadcastChannel,
  type Channel,
  ChannelClosedError,
  ChannelGoneError,
  ChannelOverflowError,
  createLive,
  type Live,
  type LiveOptions,
  NetworkError,
  PageLeft,
  TakoError,
  ValidationError,
} from "../src/live.js";
import { type FakeRequest, World } from "./world.js";

type Said = Record<string, any>;
const WINDOW = { bytes: 1_000_000, messages: 1_000 };

/** A page that calls functions, and the server's side of it played by hand. */
class Page {
  readonly world = new World();
  readonly client: ReturnType<typeof createClient>;
  readonly live: Live;
  /** Who is told that the page is left, and what was said then. */
  readonly hiders = new Set<(kept: boolean) => void>();
  readonly beacons: [url: string, body: string][] = [];
  settings: Said = { pingIntervalMs: 5_000, reconnectTimeoutMs: 60_000, idleTimeoutMs: 60_000 };

  constructor(webSocket = true, options: LiveOptions = {}) {
    const { WebSocket, ...rest } = this.world.environment;
    this.client = createClient({ ...rest, WebSocket: webSocket ? WebSocket : undefined, url: "https://x.example" });
    this.live = createLive(
      { client: this.client, url: "https://x.example", ...options },
      {
        onHide: (run) => {
          this.hiders.add(run);
          return () => this.hiders.delete(run);
        },
        beacon: (url, body) => this.beacons.push([url, body]),
      },
    );
  }

  posts(part: string): FakeRequest[] {
    return this.world.requests.filter(({ method, url }) => method === "POST" && url.pathname.includes(part));
  }

  /** The newest event stream. */
  get stream(): FakeRequest {
    const found = this.world.requests.findLast(({ method }) => method === "GET");
    if (!found) throw new Error("no stream was asked for");
    return found;
  }

  /** Call a function whose answer is known. */
  async call<Result>(answer: Said, status = 200): Promise<Result> {
    const result = this.live.call("onTest", ["a"]) as Promise<Result>;
    result.catch(() => {});
    await this.world.settle();
    this.posts("/functions/").at(-1)?.answer(status, answer);
    await this.world.settle();
    return result;
  }

  channel(id = "c", ack = false): Promise<{ channel: Channel }> {
    return this.call({ result: { channel: null }, live: [{ path: ["channel"], id, kind: "channel", ack }] });
  }

  down(...frames: (Said | string)[]): Promise<void> {
    for (const frame of frames) this.stream.bytes(`data: ${typeof frame === "string" ? frame : JSON.stringify(frame)}\n\n`);
    return this.world.settle();
  }

  async openStream(): Promise<void> {
    this.stream.stream();
    await this.down({ op: "open", connection: "s", upstream: "key", maxBatchBytes: 1000 });
  }

  /** What was posted upstream since the last time; each POST is answered. */
  async up(): Promise<Said[]> {
    const frames: Said[] = [];
    await this.world.settle();
    for (;;) {
      const posts = this.posts("/connect/").filter((post) => !this.#answered.has(post));
      if (!posts.length) return frames;
      expect(posts.length, "one POST at a time").toBe(1);
      for (const post of posts) {
        this.#answered.add(post);
        expect(post.body.endsWith("\n")).toBe(true);
        for (const line of post.body.trimEnd().split("\n")) {
          frames.push(line[0] === "~" ? { binary: [...Buffer.from(line.slice(1), "base64")] } : (JSON.parse(line) as Said));
        }
        post.answer(204);
      }
      await this.world.settle();
    }
  }
  readonly #answered = new Set<FakeRequest>();

  attached(attach: Said, seq: Record<string, number> = {}): Said {
    const open = (attach.open as Said[]).map(({ id }) => ({ id, seq: seq[id] ?? 0, ...WINDOW }));
    return { op: "live.attached", ref: attach.ref, open, ended: [], settings: this.settings };
  }

  /** Attach on the event stream. */
  async attachStream(seq: Record<string, number> = {}): Promise<Said> {
    await this.openStream();
    const attach = (await this.up())[0] as Said;
    expect(attach.op).toBe("live.attach");
    await this.down(this.attached(attach, seq));
    return attach;
  }

  async nothingLeft(): Promise<void> {
    await this.world.settle();
    expect(this.world.timers.size).toBe(0);
    expect(this.world.sleepers.size).toBe(0);
    expect(this.hiders.size).toBe(0);
  }

  /** The page is left, before anybody else hears of it. */
  async hide(kept: boolean): Promise<void> {
    for (const run of [...this.hiders]) run(kept);
    for (const run of [...this.world.leavers]) run();
    await this.world.settle();
  }

  /** Both wires open, the channel on the stream, and the probe answered. */
  async upgraded(): Promise<Said> {
    this.world.socket.open();
    await this.world.settle();
    const probe = this.world.socket.last("ping");
    this.world.socket.frame({ op: "pong", ref: probe.ref });
    await this.world.settle();
    return this.world.socket.last("live.attach");
  }
}

const send = (seq: number, data: unknown, more: Said = {}) => ({ op: "live", id: "c", do: "send", seq, ...more, data });

describe("a call", () => {
  test("puts live objects where they belong and gives the rest as it is", async () => {
    const page = new Page(false);
    const result = await page.call<{ a: [number, Channel]; room: BroadcastChannel; n: number }>({
      result: { a: [1, null], room: null, n: 2 },
      live: [
        { path: ["a", 1], id: "c", kind: "channel", ack: false },
        { path: ["room"], id: "b", kind: "broadcast" },
      ],
    });
    expect([result.a[0], result.n]).toEqual([1, 2]);
    expect(typeof result.a[1].listen).toBe("function");
    expect(typeof result.room.subscribe).toBe("function");
    const [post] = page.posts("/functions/");
    expect(post?.url.pathname).toBe("/_tako/functions/onTest");
    expect(JSON.parse(post?.body ?? "")).toEqual({ args: ["a"] });
    expect(post?.headers.get("tako-session")).toMatch(/^[\w-]{22,128}$/);
    page.live.close();
    await page.nothingLeft();
  });

  test.each([
    [422, { code: "aborted", error: "Aborted", value: { why: 1 } }, Abort],
    [400, { code: "body-invalid", error: "args[0]: no" }, ValidationError],
    [404, { code: "not-found", error: "No." }, TakoError],
  ])("of %i fails with its error", async (status, body, kind) => {
    const page = new Page(false);
    const failure = await page.call<never>(body, status).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(kind);
    if (failure instanceof Abort) expect(failure.abortValue).toEqual({ why: 1 });
    await page.nothingLeft();
  });

  test.each([
    [200, "<html>Sign in</html>", "text/html"],
    [200, "", undefined],
    [302, "", "text/html"],
    [403, "<html>Forbidden</html>", "text/html"],
    [404, { message: "no route" }, "application/json"],
    [502, { code: 502 }, "application/json"],
  ])("answered %i by somebody between is a NetworkError that says what came", async (status, body, type) => {
    const page = new Page(false);
    const result = page.live.call("onTest").catch((error: unknown) => error);
    await page.world.settle();
    page.world.request.answer(status, body, type === undefined ? {} : { "content-type": type });
    const error = (await result) as NetworkError;
    expect(error).toBeInstanceOf(NetworkError);
    expect(error.isChannel).toBe(false);
    expect((error.cause as TakoError).code).toBe(`http-${status}`);
    expect(error.message).toContain(`HTTP ${status}`);
    if (type) expect(error.message).toContain(type);
    await page.nothingLeft();
  });

  test.each([
    ["answer", 20_000, "within 20000 ms"],
    ["credentials", 15_000, "credentials could not be had"],
  ] as const)("whose %s never comes fails in time", async (what, time, sentence) => {
    const page = new Page(false);
    const hang = () => new Promise<string>(() => {});
    const live = createLive({
      client: page.client,
      url: "https://x.example",
      timeout: 20_000,
      ...(what === "credentials" && { credentials: hang }),
    });
    let failure: unknown;
    void live.call("onTest").catch((error: unknown) => (failure = error));
    await page.world.advance(time - 1);
    expect(failure).toBe(undefined);
    await page.world.advance(1);
    expect(failure).toBeInstanceOf(NetworkError);
    expect((failure as Error).message).toContain(sentence);
    expect(page.world.timers.size).toBe(0);
  });

  test("without an answer is a NetworkError of a call", async () => {
    const page = new Page(false);
    const result = page.live.call("onTest").catch((error: unknown) => error);
    await page.world.settle();
    page.world.request.failed();
    const error = (await result) as NetworkError;
    expect(error).toBeInstanceOf(NetworkError);
    expect(error.isChannel).toBe(false);
  });
});

describe("dates and bytes", () => {
  const NOON = "2026-11-30T12:00:00.000Z";
  const noon = new Date(NOON);
  const raw = new Uint8Array([0, 255]);
  const date = (...path: unknown[]) => ({ path, kind: "date" });
  const bytes = (...path: unknown[]) => ({ path, kind: "bytes" });

  test("are arguments, by position and by name, and stand in results", async () => {
    const page = new Page(false);
    const result = page.live.call("onTest", ["a", { when: noon, file: [raw.buffer, undefined].slice(0, 1) }]);
    await page.world.settle();
    const post = page.world.request;
    expect(JSON.parse(post.body)).toEqual({
      args: ["a", { when: NOON, file: ["AP8="] }],
      values: [date("args", 1, "when"), bytes("args", 1, "file", 0)],
    });
    post.answer(200, { result: { at: NOON, seals: ["AP8="], said: NOON }, values: [date("at"), bytes("seals", 0)] });
    expect(await result).toEqual({ at: noon, seals: [raw], said: NOON });
    void page.live.call("onTest", { at: noon });
    await page.world.settle();
    expect(JSON.parse(page.world.request.body)).toEqual({ named: { at: NOON }, values: [date("named", "at")] });
  });

  test("are the value of an Abort, and stand beside live objects", async () => {
    const page = new Page(false);
    const failure = await page
      .call<never>({ code: "aborted", error: "Aborted", value: { until: NOON }, values: [date("until")] }, 422)
      .catch((error: unknown) => error);
    expect((failure as Abort).abortValue).toEqual({ until: noon });
    const { at, channel } = await page.call<{ at: Date; channel: Channel }>({
      result: { at: NOON, channel: null },
      values: [date("at")],
      live: [{ path: ["channel"], id: "c", kind: "channel", ack: false }],
    });
    expect(at).toEqual(noon);
    const ends: unknown[] = [];
    channel.onClose((error) => ends.push(error));
    await page.attachStream();
    await page.down({ op: "live", id: "c", do: "end", error: { code: "abort", value: "AP8=", values: [bytes()] } });
    expect((ends[0] as Abort).abortValue).toEqual(raw);
    page.live.close();
  });

  test("are messages and answers; each listener has its own", async () => {
    const page = new Page(false);
    const { channel } = await page.channel();
    const got: any[] = [];
    channel.listen((message: any) => {
      got.push(message);
      return { again: message.at, raw };
    });
    channel.listen((message: any) => void got.push(message));
    await page.attachStream();
    await page.down({ op: "live", id: "c", do: "send", seq: 1, values: [date("at")], data: { at: NOON } });
    expect(got).toEqual([{ at: noon }, { at: noon }]);
    expect(got[0].at).not.toBe(got[1].at);
    channel.listen(() => ({ raw, at: noon }));
    await page.down({ op: "live", id: "c", do: "send", seq: 2, ack: true, values: [date("at")], data: { at: NOON } });
    expect((await page.up()).at(-1)).toMatchObject({ do: "ack", values: [bytes("raw"), date("at")], data: { raw: "AP8=", at: NOON } });
    const asked = channel.send({ at: noon }, { ack: true });
    expect(await page.up()).toEqual([{ op: "live", id: "c", do: "send", seq: 2, ack: true, values: [date("at")], data: { at: NOON } }]);
    await page.down({ op: "live", id: "c", do: "ack", seq: 3, of: 2, values: [bytes()], data: "AP8=" });
    expect(await asked).toEqual(raw);
    channel.abort({ until: noon });
    const error = { code: "abort", value: { until: NOON }, values: [date("until")] };
    expect((await page.up()).at(-1)).toEqual({ op: "live", id: "c", do: "end", error });
    page.live.close();
  });

  test("keep their text where a mark is nothing of the data, or of a kind that is not known", async () => {
    const page = new Page(false);
    const values = [date("no", "where"), date("__proto__", "x"), bytes("n"), { path: ["said"], kind: "map" }];
    expect(await page.call({ result: { n: 1, said: "x" }, values })).toEqual({ n: 1, said: "x" });
  });

  const circle: unknown[] = [];
  circle.push(circle);
  class Point {
    constructor(
      readonly x: number,
      readonly y: number,
    ) {}
  }

  test.each<[sentence: string, make: () => unknown]>([
    ["arguments[1].when: a Date that is no moment", () => ({ when: new Date(NaN) })],
    ["arguments[1].items[1]: Infinity has no JSON form", () => ({ items: [1, Infinity] })],
    ["arguments[1].items: JSON has no form for Map; send Object.fromEntries", () => ({ items: new Map() })],
    ["arguments[1]: JSON has no form for Set", () => new Set([1])],
    ["arguments[1].upload: JSON has no form for Blob; await its arrayBuffer()", () => ({ upload: new Blob(["x"]) })],
    ["arguments[1]: JSON has no form for File; await its arrayBuffer()", () => new File(["x"], "a.txt")],
    ["arguments[1][0]: JSON has no form for Float32Array", () => [new Float32Array(1)]],
    ["arguments[1].done: a function has no JSON form", () => ({ done: () => {} })],
    ["arguments[1].id: a BigInt has no JSON form; send it as text", () => ({ id: 1n })],
    ["arguments[1][0]: undefined has no JSON form", () => [undefined]],
    ["arguments[1].later: JSON has no form for Promise", () => ({ later: Promise.resolve() })],
    ["arguments[1]: JSON has no form for RegExp", () => /x/],
    ["arguments[1]: JSON has no form for Error", () => new Error("x")],
    ["arguments[1].text: half of a surrogate pair is no text", () => ({ text: "cut \ud83d" })],
    ["arguments[1]: half of a surrogate pair is no text", () => ({ "\udc00": 1 })],
    ["arguments[1][0]: it contains itself", () => circle],
  ])("what JSON would change is refused with its place: %s", async (sentence, make) => {
    const page = new Page(false);
    const value = make();
    const failure = await page.live.call("onTest", ["a", value]).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(TypeError);
    expect((failure as Error).message).toContain(sentence);
    expect(page.posts("/functions/")).toEqual([]);
    const { channel } = await page.channel();
    expect(() => channel.send(["a", value])).toThrow(sentence.replace("arguments", "data"));
    expect(() => channel.abort(["a", value])).toThrow(sentence.replace("arguments", "value"));
    expect(channel.isClosed).toBe(false);
    page.live.close();
  });

  test.each<[unknown, unknown]>([
    [{ left: undefined, kept: null }, { kept: null }],
    [new Point(1, 2), { x: 1, y: 2 }],
    [new URL("https://x.example/"), "https://x.example/"],
    [Object.assign(Object.create(null) as object, { a: 1 }), { a: 1 }],
    [[new Point(1, 2)].concat([]), [{ x: 1, y: 2 }]],
    ["\u{1f600}", "\u{1f600}"],
  ])("what says how it is JSON is carried: %o", async (value, text) => {
    const page = new Page(false);
    void page.live.call("onTest", [value]);
    await page.world.settle();
    expect(JSON.parse(page.world.request.body)).toEqual({ args: [text] });
  });
});

describe("over an event stream", () => {
  test("messages go both ways, in order, text and binary", async () => {
    const page = new Page(false);
    const { channel } = await page.channel();
    const got: unknown[] = [];
    channel.onOpen(() => got.push("open"));
    channel.listen((message) => void got.push(message));
    channel.listenBinary((data) => void got.push([...data]));
    void channel.send("early");
    const attach = await page.attachStream();
    expect(attach.session).toBe(page.posts("/functions/")[0]?.headers.get("tako-session"));
    void channel.sendBinary(new Uint8Array([7, 255]));
    void channel.send({ é: 1 });
    const frames = await page.up();
    expect(frames[0]).toEqual(send(1, "early"));
    expect(frames[1]).toEqual({ binary: [1, 1, 99, 0, 0, 0, 2, 7, 255] });
    expect(frames[2]).toEqual(send(3, { é: 1 }));
    await page.down(send(1, "hello"), `~${Buffer.from([1, 1, 99, 0, 0, 0, 2, 9]).toString("base64")}`);
    expect(got).toEqual(["open", "hello", [9]]);
    page.live.close();
    await page.nothingLeft();
  });

  test("a ping is answered, behind the news; silence cuts", async () => {
    const page = new Page(false);
    const { channel } = await page.channel();
    await page.attachStream();
    await page.down(send(1, "x"), { op: "ping" });
    const frames = await page.up();
    expect(frames.map(({ op, at }) => [op, at])).toEqual([["live", 1], ["pong", undefined]]);
    const { stream } = page;
    await page.world.advance(10_000);
    expect(stream.live).toBe(false);
    expect(channel.isClosed).toBe(false);
    page.live.close();
    await page.nothingLeft();
  });

  test("after a cut only what is missing is sent again, and what came twice is heard once", async () => {
    const page = new Page(false);
    const { channel } = await page.channel();
    const got: unknown[] = [];
    let opened = 0;
    channel.onOpen(() => opened++);
    channel.listen((message) => void got.push(message));
    await page.attachStream();
    void channel.send("one");
    void channel.send("two");
    await page.up();
    await page.down(send(1, "a"));
    page.stream.failed();
    await page.world.settle();
    void channel.send("three");
    await page.world.advance(1_000);
    const attach = await page.attachStream({ c: 1 });
    expect(attach.open).toEqual([{ id: "c", seq: 1, bytes: 1_048_576 + 3, messages: 1_025 }]);
    expect(await page.up()).toEqual([send(2, "two"), send(3, "three")]);
    await page.down(send(1, "a"), send(2, "b"));
    expect([got, opened]).toEqual([["a", "b"], 1]);
    page.live.close();
    await page.nothingLeft();
  });

  test("where it does not come back in time the channel ends with NetworkError", async () => {
    const page = new Page(false);
    page.settings.reconnectTimeoutMs = 1_000;
    const { channel } = await page.channel();
    const ends: unknown[] = [];
    channel.onClose((error) => ends.push(error));
    await page.attachStream();
    const asked = channel.send("x", { ack: true }).catch((error: unknown) => error);
    page.stream.failed();
    await page.world.advance(999);
    expect(ends).toEqual([]);
    await page.world.advance(1);
    expect(ends).toEqual([expect.any(NetworkError)]);
    expect((ends[0] as NetworkError).isChannel).toBe(true);
    expect(await asked).toBeInstanceOf(NetworkError);
    await expect(channel.send("late")).rejects.toBeInstanceOf(ChannelClosedError);
    await page.nothingLeft();
  });

  test.each([
    ["a captive portal", 200, "<html>Sign in</html>", "text/html"],
    ["a head that was cut", 200, "", undefined],
    ["a content type that was cut", 200, "", "text/event-str"],
    ["a redirect", 302, "", "text/html"],
    ["a firewall", 403, "<html>No</html>", "text/html"],
    ["a router", 404, "404 page not found", "text/plain"],
  ] as const)("%s in the place of the server passes: it goes on when that is over", async (_what, status, body, type) => {
    const page = new Page(false);
    const { channel } = await page.channel();
    const ends: unknown[] = [];
    channel.onClose((error) => ends.push(error));
    await page.attachStream();
    page.stream.failed();
    for (let tries = 0; tries < 4; tries++) {
      await page.world.advance(5_000);
      page.stream.answer(status, body, type === undefined ? {} : { "content-type": type });
      await page.world.settle();
      expect(ends).toEqual([]);
    }
    void channel.send("back");
    await page.world.advance(5_000);
    await page.attachStream();
    expect(await page.up()).toEqual([send(1, "back")]);
    page.live.close();
    await page.nothingLeft();
  });

  test("trouble that lasts longer than the object waits is named by its end", async () => {
    const page = new Page(false);
    page.settings.reconnectTimeoutMs = 9_000;
    const { channel } = await page.channel();
    let end: NetworkError | undefined;
    channel.onClose((error) => (end = error as NetworkError));
    await page.attachStream();
    page.stream.failed();
    for (let second = 0; second < 9; second++) {
      expect(end).toBe(undefined);
      await page.world.advance(1_000);
      page.stream.answer(403, "<html>No</html>", { "content-type": "text/html" });
    }
    expect(end).toBeInstanceOf(NetworkError);
    expect((end?.cause as TakoError).code).toBe("http-403");
    expect(end?.message).toContain("HTTP 403 (text/html)");
    await page.nothingLeft();
  });

  test("a refusal of the server itself is the end at once", async () => {
    const page = new Page(false);
    const { channel } = await page.channel();
    let end: NetworkError | undefined;
    channel.onClose((error) => (end = error as NetworkError));
    await page.attachStream();
    page.stream.failed();
    await page.world.advance(1_000);
    page.stream.answer(403, { code: "origin-rejected", error: "This origin may not connect." });
    await page.world.settle();
    expect((end?.cause as TakoError).code).toBe("origin-rejected");
    await page.nothingLeft();
  });

  test("a connection that says nothing is tried anew", async () => {
    const page = new Page(false);
    const { channel } = await page.channel();
    await page.attachStream();
    page.stream.failed();
    await page.world.advance(1_000);
    const silent = page.stream;
    await page.world.advance(11_000);
    expect(page.stream).not.toBe(silent);
    await page.attachStream();
    expect(channel.isClosed).toBe(false);
    page.live.close();
    await page.nothingLeft();
  });

  test.each(["hang", "throw", "reject"])("credentials that %s are asked for again, for as long as objects wait", async (what) => {
    let mode = "give";
    const page = new Page(false, {
      credentials: () => {
        if (mode === "hang") return new Promise<string>(() => {});
        if (mode === "throw") throw new Error("no");
        return mode === "give" ? "Bearer x" : Promise.reject(new Error("no"));
      },
    });
    const { channel } = await page.channel();
    await page.attachStream();
    page.stream.failed();
    mode = what;
    await page.world.advance(20_000);
    mode = "give";
    await page.world.advance(20_000);
    expect(page.stream.headers.get("authorization")).toBe("Bearer x");
    mode = what;
    await page.openStream();
    await page.world.advance(16_000);
    mode = "give";
    const [attach] = (await page.up()) as [Said];
    expect(attach.op).toBe("live.attach");
    expect(channel.isClosed).toBe(false);
    page.live.close();
    await page.nothingLeft();
  });

  test.each(["auth-unavailable", "overloaded"])("an attach that is refused with %s is tried again", async (code) => {
    const page = new Page(false);
    const { channel } = await page.channel();
    await page.openStream();
    const [attach] = (await page.up()) as [Said];
    await page.down({ op: "live.refused", ref: attach.ref, code, error: "Later." });
    expect(channel.isClosed).toBe(false);
    await page.world.advance(2_000);
    await page.attachStream();
    expect(channel.isClosed).toBe(false);
    page.live.close();
    await page.nothingLeft();
  });

  test("an attach that is over the rate is tried again when the server says", async () => {
    const page = new Page(false);
    const { channel } = await page.channel();
    await page.openStream();
    const [attach] = (await page.up()) as [Said];
    const before = page.stream;
    await page.down({ op: "error", ref: attach.ref, code: "rate-limited", error: "Later.", retryAfterMs: 3_000 });
    await page.world.advance(2_999);
    expect(page.stream).toBe(before);
    await page.world.advance(1_000);
    expect(page.stream).not.toBe(before);
    await page.attachStream();
    expect(channel.isClosed).toBe(false);
    page.live.close();
    await page.nothingLeft();
  });

  test("an attach that is refused for good is the end, with its reason", async () => {
    const page = new Page(false);
    const { channel } = await page.channel();
    let end: NetworkError | undefined;
    channel.onClose((error) => (end = error as NetworkError));
    await page.openStream();
    const [attach] = (await page.up()) as [Said];
    await page.down({ op: "live.refused", ref: attach.ref, code: "verify-rejected", error: "No." });
    expect((end?.cause as TakoError).code).toBe("verify-rejected");
    await page.nothingLeft();
  });

  test("what the server has ended meanwhile ends here, with its reason", async () => {
    const page = new Page(false);
    const { channel } = await page.channel();
    const ends: unknown[] = [];
    channel.onClose((error) => ends.push(error));
    await page.openStream();
    const [attach] = await page.up();
    await page.down({ ...page.attached(attach as Said), open: [], ended: [{ id: "c", error: { code: "abort", value: 7 } }] });
    expect((ends[0] as Abort).abortValue).toBe(7);
    page.live.close();
    await page.nothingLeft();
  });

  test("a later object is opened on the same wire", async () => {
    const page = new Page(false);
    await page.channel("c");
    await page.attachStream();
    const { channel } = await page.channel("d");
    let opened = false;
    channel.onOpen(() => (opened = true));
    const [open] = (await page.up()) as [Said];
    expect(open).toMatchObject({ op: "live.open", open: [{ id: "d", seq: 0 }] });
    await page.down({ op: "live.opened", ref: open.ref, open: [{ id: "d", seq: 0, ...WINDOW }], ended: [] });
    expect(opened).toBe(true);
    page.live.close();
    await page.nothingLeft();
  });
});

describe("answers", () => {
  test("the last listener's value is the answer; an error's text stays here", async () => {
    const page = new Page(false);
    const { channel } = await page.channel();
    channel.listen(() => "first");
    const unlisten = channel.listen(async (message) => ({ got: message }));
    await page.attachStream();
    await page.down(send(1, 5, { ack: true }));
    expect(await page.up()).toEqual([{ op: "live", id: "c", do: "ack", seq: 1, of: 1, data: { got: 5 } }]);
    unlisten();
    const said: unknown[] = [];
    const { error } = console;
    console.error = (what: unknown) => said.push(String(what));
    channel.listen(() => {
      throw new Error("secret");
    });
    await page.down(send(2, 5, { ack: true }));
    console.error = error;
    expect(said).toEqual(["Error: secret"]);
    expect(JSON.stringify(await page.up())).not.toContain("secret");
    page.live.close();
    await page.nothingLeft();
  });

  test("channel-wide ack is for send and not for sendBinary", async () => {
    const page = new Page(false);
    const { channel } = await page.channel("c", true);
    await page.attachStream();
    const asked = channel.send("x");
    await channel.sendBinary(new Uint8Array(1));
    expect((await page.up())[0]).toEqual(send(1, "x", { ack: true }));
    await page.down({ op: "live", id: "c", do: "ack", seq: 1, of: 1, data: { ok: true } });
    expect(await asked).toEqual({ ok: true });
    page.live.close();
  });

  test("an Abort in a listener ends both sides with its value", async () => {
    const page = new Page(false);
    const { channel } = await page.channel();
    const ends: unknown[] = [];
    channel.onClose((error) => ends.push(error));
    channel.listen(() => {
      throw new Abort({ no: 1 });
    });
    await page.attachStream();
    await page.down(send(1, 5));
    expect((ends[0] as Abort).abortValue).toEqual({ no: 1 });
    const [end] = await page.up();
    expect(end).toEqual({ op: "live", id: "c", do: "end", error: { code: "abort", value: { no: 1 } } });
    page.live.close();
  });
});

describe("capacity", () => {
  /** A channel with credit for one message. */
  async function narrow(page: Page, bufferBytes: number): Promise<Channel> {
    page.settings.bufferBytes = bufferBytes;
    const { channel } = await page.channel();
    await page.openStream();
    const [attach] = await page.up();
    await page.down({ ...page.attached(attach as Said), open: [{ id: "c", seq: 0, bytes: 100, messages: 1 }] });
    return channel;
  }

  test("sends that nobody awaits wait for credit, and arrive in order", async () => {
    const page = new Page(false);
    const channel = await narrow(page, 16_777_216);
    const count = 20_000;
    for (let each = 0; each < count; each++) void channel.send(each);
    const got: unknown[] = [];
    for (let messages = 1; got.length < count; messages += 1_000) {
      await page.down({ op: "live", id: "c", do: "credit", at: got.length, bytes: 1_000_000, messages });
      got.push(...(await page.up()).filter((frame) => frame.do === "send").map(({ data }) => data as unknown));
    }
    expect(got).toEqual(Array.from({ length: count }, (_, each) => each));
    expect(channel.isClosed).toBe(false);
    page.live.close();
  });

  test("too many that wait end the channel on both sides, and it is said", async () => {
    const page = new Page(false);
    const channel = await narrow(page, 900);
    const ends: unknown[] = [];
    channel.onClose((error) => ends.push(error));
    const said: unknown[] = [];
    const { error } = console;
    console.error = (what: unknown) => said.push(what);
    const outcomes = ["goes", 1, 2, 3, 4].map((each) => channel.send(each).then(() => "sent", (reason: TakoError) => reason.code));
    console.error = error;
    expect(ends).toEqual([expect.any(ChannelOverflowError)]);
    expect(said).toEqual(ends);
    expect(await Promise.all(outcomes)).toEqual(["sent", "overflow", "overflow", "overflow", "channel-closed"]);
    const frames = await page.up();
    expect(frames).toEqual([send(1, "goes"), { op: "live", id: "c", do: "end", error: { code: "overflow" } }]);
    page.live.close();
    await page.nothingLeft();
  });

  test("what can never be sent is thrown at once, and not lost in a promise", async () => {
    const page = new Page(false);
    page.settings.maxMessageBytes = 100;
    const { channel } = await page.channel();
    await page.attachStream();
    expect(() => channel.send("x".repeat(200))).toThrow(ChannelOverflowError);
    expect(() => channel.sendBinary(new Uint8Array(200))).toThrow(ChannelOverflowError);
    expect(channel.isClosed).toBe(false);
    page.live.close();
  });

  test("an answer that is too large for the server fails, and the session goes on", async () => {
    const page = new Page(false);
    page.settings.maxMessageBytes = 100;
    const { channel } = await page.channel();
    await page.attachStream();
    channel.listen(() => "x".repeat(200));
    const { error } = console;
    console.error = () => {};
    await page.down(send(1, 5, { ack: true }));
    const [answer] = await page.up();
    console.error = error;
    expect(answer).toMatchObject({ do: "ack", of: 1, error: { code: "failed" } });
    page.live.close();
  });

  test.each(["page", "server"])("the oldest of too many is dropped where the %s asks for it", async (who) => {
    const page = new Page(false);
    page.settings.bufferBytes = 900;
    const overflow = who === "server" ? { overflow: "drop-oldest" } : {};
    const { channel } = await page.call<{ channel: Channel }>({
      result: { channel: null },
      live: [{ path: ["channel"], id: "c", kind: "channel", ack: false, ...overflow }],
    });
    if (who === "page") channel.overflow = "drop-oldest";
    expect(channel.overflow).toBe("drop-oldest");
    expect(() => ((channel as { overflow: string }).overflow = "drop")).toThrow(TypeError);
    await page.openStream();
    const [attach] = await page.up();
    await page.down({ ...page.attached(attach as Said), open: [{ id: "c", seq: 0, bytes: 100, messages: 1 }] });
    await channel.send("goes");
    const outcomes = [1, 2, 3].map((each) => channel.send(each).then(() => "sent", (error: unknown) => error));
    await page.up();
    await page.down({ op: "live", id: "c", do: "credit", at: 1, bytes: 100, messages: 9 });
    expect(await outcomes[0]).toBeInstanceOf(ChannelOverflowError);
    expect(await Promise.all(outcomes.slice(1))).toEqual(["sent", "sent"]);
    expect((await page.up()).map(({ data }) => data as unknown)).toEqual([2, 3]);
    page.live.close();
  });
});

describe("closing", () => {
  test("waits for the other side, tells once, and leaves nothing but the idle time", async () => {
    const page = new Page(false);
    const { channel } = await page.channel();
    const ends: unknown[] = [];
    channel.onClose((error) => ends.push(error));
    await page.attachStream();
    const closed = channel.close();
    expect(channel.close()).toBe(closed);
    expect((await page.up())[0]).toMatchObject({ do: "close", seq: 1, timeoutMs: 5_000 });
    await page.down({ op: "live", id: "c", do: "closed", seq: 1 });
    expect(await closed).toBe(0);
    expect(ends).toEqual([undefined]);
    expect((await page.up()).at(-1)).toMatchObject({ do: "end", error: null });
    await page.down({ op: "live", id: "c", do: "ended" });
    for (let time = 0; time < 60_000; time += 5_000) {
      await page.down({ op: "ping" });
      await page.up();
      await page.world.advance(5_000);
    }
    await page.nothingLeft();
  });

  test.each([true, false])("waits for close listeners, and not for ever (settles: %s)", async (settles) => {
    const page = new Page(false);
    const { channel } = await page.channel();
    let settle = () => {};
    channel.onClose(() => new Promise<void>((resolve) => (settle = resolve)));
    await page.attachStream();
    let code: number | undefined;
    void channel.close().then((value) => (code = value));
    await page.up();
    await page.down({ op: "live", id: "c", do: "closed", seq: 1 });
    expect(code).toBe(undefined);
    if (settles) settle();
    await page.world.advance(settles ? 0 : 4_999);
    expect(code).toBe(settles ? 0 : undefined);
    await page.world.advance(settles ? 0 : 1);
    expect(code).toBe(settles ? 0 : 1);
    page.live.close();
    await page.nothingLeft();
  });

  test("without an answer takes exactly its time", async () => {
    const page = new Page(false);
    const { channel } = await page.channel();
    await page.attachStream();
    let code: number | undefined;
    void channel.close({ timeout: 700 }).then((value) => (code = value));
    await page.world.advance(699);
    expect(code).toBe(undefined);
    await page.world.advance(1);
    expect(code).toBe(1);
    page.live.close();
    await page.nothingLeft();
  });
});

test("a close that may take for ever says a number, and waits for the longest time of a timer", async () => {
  const page = new Page(false);
  const { channel } = await page.channel();
  await page.attachStream();
  void channel.close({ timeout: Infinity });
  expect(await page.up()).toMatchObject([{ do: "close", timeoutMs: 2 ** 31 - 1 }]);
  expect([...page.world.timers].every(({ at }) => at <= page.world.time + 2 ** 31 - 1)).toBe(true);
  page.live.close();
  await page.nothingLeft();
});

test("a timer that is longer than the platform's are does not run at once", () => {
  const set = vi.spyOn(globalThis, "setTimeout");
  ambient().later(2 ** 31, () => {})();
  expect(set.mock.calls.map(([, ms]) => ms)).toEqual([2 ** 31 - 1]);
  set.mockRestore();
});

describe("the WebSocket", () => {
  test("that is refused while no stream is open yet leaves it to the stream", async () => {
    const page = new Page();
    const { channel } = await page.channel();
    page.world.socket.lose(4403, "origin-rejected");
    await page.world.settle();
    expect(channel.isClosed).toBe(false);
    await page.attachStream();
    void channel.send(1);
    expect(await page.up()).toMatchObject([{ do: "send", data: 1 }]);
    page.live.close();
    await page.nothingLeft();
  });

  test("takes over from the stream without losing, doubling or reordering", async () => {
    const page = new Page();
    const { channel } = await page.channel();
    const got: unknown[] = [];
    channel.listen((message) => void got.push(message));
    await page.attachStream();
    const { stream } = page;
    void channel.send(1);
    await page.up();
    const attach = await page.upgraded();
    // Between the two wires: waits here, and still comes there.
    void channel.send(2);
    await page.down(send(1, "old"));
    page.world.socket.frame(page.attached(attach, { c: 0 }));
    page.world.socket.frame(send(1, "old"));
    page.world.socket.frame(send(2, "new"));
    await page.world.settle();
    expect(stream.live).toBe(false);
    expect(page.world.socket.sent.filter((frame) => frame.op === "live")).toEqual([send(1, 1), send(2, 2)]);
    expect(got).toEqual(["old", "new"]);
    page.live.close();
    await page.nothingLeft();
  });

  test("is the one that channel subscriptions use, and is used at once where it is open", async () => {
    const page = new Page();
    const subscription = page.client.channel("chat");
    const told: unknown[] = [];
    subscription.subscribe((message) => told.push(message.data));
    await page.world.accept();
    const { channel } = await page.channel();
    await page.world.settle();
    expect(page.world.sockets.length).toBe(1);
    expect(page.world.requests.filter(({ method }) => method === "GET")).toEqual([]);
    page.world.socket.frame(page.attached(page.world.socket.last("live.attach")));
    const got: unknown[] = [];
    channel.listen((message) => void got.push(message));
    page.world.socket.frame(send(1, "live"));
    page.world.socket.frame({ id: "2", channel: "chat", type: "msg", data: "durable" });
    await page.world.settle();
    expect([got, told]).toEqual([["live"], ["durable"]]);
    page.live.close();
    expect(page.world.socket.closed).toBe(false);
    subscription.close();
    await page.nothingLeft();
  });

  test("carries one session: another one has another connection", async () => {
    const page = new Page();
    const other = createLive({ client: page.client, url: "https://x.example" });
    await page.channel();
    const result = other.call("onTest");
    await page.world.settle();
    page.posts("/functions/").at(-1)?.answer(200, { result: null, live: [{ path: [], id: "d", kind: "channel" }] });
    expect(await result).toBeDefined();
    await page.world.settle();
    expect(page.world.sockets.length).toBe(2);
    const secrets = page.posts("/functions/").map(({ headers }) => headers.get("tako-session"));
    expect(new Set(secrets).size).toBe(2);
    page.live.close();
    other.close();
    await page.nothingLeft();
  });

  test("stays unused where it does not answer the probe", async () => {
    const page = new Page();
    await page.channel();
    await page.attachStream();
    page.world.socket.open();
    await page.world.advance(3_000);
    page.world.socket.frame({ op: "pong", ref: page.world.socket.last("ping").ref });
    await page.world.settle();
    expect(page.world.socket.count("live.attach")).toBe(0);
    expect(page.stream.live).toBe(true);
    page.live.close();
    await page.nothingLeft();
  });

  test("a cut of it is bridged by a stream until it is there again", async () => {
    const page = new Page();
    const { channel } = await page.channel();
    await page.attachStream();
    page.world.socket.frame(page.attached(await page.upgraded()));
    await page.world.settle();
    page.world.socket.lose();
    void channel.send("meanwhile");
    await page.world.advance(1_000);
    expect(page.world.sockets.length).toBe(2);
    await page.attachStream();
    expect(await page.up()).toEqual([send(1, "meanwhile")]);
    page.world.socket.frame(page.attached(await page.upgraded(), { c: 1 }));
    await page.world.settle();
    void channel.send("after");
    expect(page.world.socket.last("live")).toEqual(send(2, "after"));
    page.live.close();
    await page.nothingLeft();
  });
});

describe("a broadcast", () => {
  test("tells the server of the first subscriber and the last; publishing gives the place", async () => {
    const page = new Page(false);
    const room = await page.call<BroadcastChannel>({ result: null, live: [{ path: [], id: "b", kind: "broadcast" }] });
    await page.attachStream();
    const got: unknown[] = [];
    const leave = room.subscribe((message, { seq }) => void got.push([message, seq]));
    room.subscribe(() => {})();
    const receipt = room.publish("hi");
    const frames = await page.up();
    expect(frames.map((frame) => frame.do as unknown)).toEqual(["subscribe", "publish"]);
    const info = { seq: 5, timestamp: 1, epoch: 1 };
    await page.down(
      { op: "live", id: "b", do: "published", seq: 1, info, data: "hi" },
      { op: "live", id: "b", do: "ack", seq: 2, of: 2, data: info },
    );
    expect(await receipt).toEqual(info);
    expect(got).toEqual([["hi", 5]]);
    leave();
    expect((await page.up()).at(-1)).toMatchObject({ do: "unsubscribe", kind: "text" });
    page.live.close();
    await page.nothingLeft();
  });
});

describe("a durable broadcast", () => {
  const durable = (page: Page) =>
    page.call<BroadcastChannel>({ result: null, live: [{ path: [], id: "b", kind: "broadcast", durable: true }] });
  const answer = (data: Said) => ({ op: "live", id: "b", do: "ack", seq: 1, of: 1, data });
  const published = (seq: number, cursor: string, data: unknown) => {
    return { op: "live", id: "b", do: "published", seq, info: { seq, timestamp: 1, epoch: 1, cursor }, data };
  };

  test("begins where it is told, and knows where to go on, also after a cut", async () => {
    const page = new Page(false);
    const room = await durable(page);
    await page.attachStream();
    const got: unknown[] = [];
    room.subscribe((message, { cursor }) => void got.push([message, cursor]), { cursor: "17" });
    expect(room.cursor).toBe(undefined);
    expect(await page.up()).toEqual([{ op: "live", id: "b", do: "subscribe", seq: 1, ack: true, kind: "text", cursor: "17" }]);
    await page.down(answer({ cursor: "17" }));
    expect(room.cursor).toBe("17");
    await page.down(published(2, "20", "a"), published(3, "21", "b"));
    expect([got, room.cursor]).toEqual([[["a", "20"], ["b", "21"]], "21"]);
    page.stream.failed();
    await page.world.advance(1_000);
    await page.attachStream({ b: 1 });
    expect(room.cursor).toBe("21");
    await page.down(published(4, "22", "c"));
    expect(room.cursor).toBe("22");
    page.live.close();
    expect(room.cursor).toBe("22");
    await page.nothingLeft();
  });

  test("an answer and what comes right behind it leave the newer cursor", async () => {
    const page = new Page(false);
    const room = await durable(page);
    await page.attachStream();
    room.subscribe(() => {});
    expect((await page.up())[0]).not.toHaveProperty("cursor");
    await page.down(answer({ cursor: "17" }), published(2, "18", "a"));
    expect(room.cursor).toBe("18");
    page.live.close();
  });

  test("a cursor that is too old ends it with ChannelGoneError", async () => {
    const page = new Page(false);
    const room = await durable(page);
    const ends: unknown[] = [];
    room.onClose((error) => ends.push(error));
    await page.attachStream();
    room.subscribe(() => {}, { cursor: "1" });
    await page.up();
    await page.down({ op: "live", id: "b", do: "end", error: { code: "failed", message: "replay-too-old" } });
    expect(ends).toEqual([expect.any(ChannelGoneError)]);
    expect((ends[0] as ChannelGoneError).code).toBe("replay-too-old");
    page.live.close();
    await page.nothingLeft();
  });

  test("where somebody reloads the state it goes on from now, told before the first message", async () => {
    const page = new Page(false);
    const room = await durable(page);
    const got: unknown[] = [];
    await page.attachStream();
    room.subscribe((message) => void got.push(message), { cursor: "1", onGone: (gone) => void got.push(gone) });
    expect((await page.up())[0]).toMatchObject({ cursor: "1", stale: "reset" });
    await page.down(answer({ cursor: "50", reset: "replay-too-old" }), published(2, "51", "a"));
    expect(got).toEqual([{ reason: "replay-too-old", cursor: "50" }, "a"]);
    page.live.close();
  });

  test("what could not be stored fails with the server's word", async () => {
    const page = new Page(false);
    const room = await durable(page);
    await page.attachStream();
    const failed = room.publish("x").catch((error: unknown) => error);
    await page.up();
    await page.down({ op: "live", id: "b", do: "ack", seq: 1, of: 1, error: { code: "failed", message: "store-unavailable" } });
    expect(((await failed) as TakoError).code).toBe("store-unavailable");
    page.live.close();
  });

  test("a cursor is for what is kept, and for the first subscriber", async () => {
    const page = new Page(false);
    const room = await durable(page);
    const plain = await page.call<BroadcastChannel>({ result: null, live: [{ path: [], id: "p", kind: "broadcast" }] });
    expect(() => plain.subscribe(() => {}, { cursor: "1" })).toThrow(TypeError);
    room.subscribe(() => {});
    expect(() => room.subscribe(() => {}, { cursor: "1" })).toThrow(TypeError);
    room.subscribeBinary(() => {}, { cursor: "1" });
    page.live.close();
  });
});

describe("a page that is left", () => {
  test("for good says so, by what reaches the server though its stream has ended", async () => {
    const page = new Page(false);
    await page.channel();
    await page.attachStream();
    await page.hide(false);
    const session = page.posts("/functions/")[0]?.headers.get("tako-session");
    expect(page.beacons).toEqual([["https://x.example/_tako/connect/leave", JSON.stringify({ session })]]);
    page.live.close();
    await page.nothingLeft();
  });

  test("by the page itself ends its objects with a word of its own", async () => {
    const page = new Page(false);
    const { channel } = await page.channel();
    const ends: unknown[] = [];
    channel.onClose((error) => ends.push(error));
    await page.attachStream();
    const asked = channel.send("x", { ack: true }).catch((error: unknown) => error);
    page.live.close();
    expect(ends).toEqual([expect.any(PageLeft)]);
    expect(ends[0]).not.toBeInstanceOf(NetworkError);
    expect(await asked).toBeInstanceOf(PageLeft);
    await page.nothingLeft();
  });

  test("says nothing twice: a WebSocket is closed as who leaves does", async () => {
    const page = new Page();
    await page.channel();
    await page.attachStream();
    page.world.socket.frame(page.attached(await page.upgraded()));
    await page.world.settle();
    await page.hide(false);
    expect(page.beacons).toEqual([]);
    expect(page.world.socket.closes).toEqual([1000]);
    page.live.close();
  });

  test.each([false, true])("and kept goes on where it was when it is shown again (WebSocket: %s)", async (webSocket) => {
    const page = new Page(webSocket);
    const { channel } = await page.channel();
    const ends: unknown[] = [];
    channel.onClose((error) => ends.push(error));
    await page.attachStream();
    if (webSocket) {
      page.world.socket.frame(page.attached(await page.upgraded()));
      await page.world.settle();
    }
    const wire = webSocket ? undefined : page.stream;
    await page.hide(true);
    expect(page.beacons).toEqual([]);
    if (webSocket) expect(page.world.socket.closes[0], "not as who leaves does").toBe(4000);
    else expect(wire?.live).toBe(false);
    void channel.send("back");
    await page.world.wake();
    if (webSocket) page.world.socket.open();
    else await page.openStream();
    await page.world.settle();
    const attach = webSocket ? page.world.socket.last("live.attach") : ((await page.up())[0] as Said);
    expect((attach.open as Said[]).map(({ id }) => id as string)).toEqual(["c"]);
    expect(ends).toEqual([]);
    page.live.close();
    await page.nothingLeft();
  });
});
