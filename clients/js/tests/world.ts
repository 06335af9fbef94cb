/** A network and a clock that a test moves by hand. */

import type { EventSourceLike, WebSocketLike } from "../src/index.js";
import type { Environment } from "../src/environment.js";

interface Timer {
  readonly at: number;
  readonly run: () => void;
}

export interface CloseEventLike {
  readonly code: number;
  readonly reason: string;
}

export class FakeSocket implements WebSocketLike {
  onmessage: unknown = null;
  onclose: unknown = null;
  onerror: unknown = null;
  readonly sent: Record<string, unknown>[] = [];
  closed = false;
  readonly url: string;
  readonly protocols: string[];
  readonly world: World;

  constructor(world: World, url: string, protocols: string[]) {
    this.world = world;
    this.url = url;
    this.protocols = protocols;
  }

  send(text: string | Uint8Array): void {
    const frame = (typeof text === "string" ? JSON.parse(text) : { binary: [...text] }) as Record<string, unknown>;
    this.sent.push(frame);
    this.world.log.push({ send: frame });
  }

  /** Codes that it was closed with. */
  readonly closes: (number | undefined)[] = [];

  close(code?: number): void {
    if (!this.closed) this.world.log.push({ drop: true });
    this.closes.push(code);
    this.closed = true;
  }

  /** The server sends. */
  frame(frame: unknown): void {
    this.text(JSON.stringify(frame));
  }

  text(text: string): void {
    (this.onmessage as ((event: { data: string }) => void) | null)?.({ data: text });
  }

  /** The server's `open`. */
  open(keepaliveIntervalMs = 25_000): void {
    this.frame({ op: "open", connection: "c1", lifecycle: { keepaliveIntervalMs } });
  }

  /** The server closes, or the connection is cut. */
  lose(code = 1006, reason = ""): void {
    this.closed = true;
    (this.onclose as ((event: CloseEventLike) => void) | null)?.({ code, reason });
  }

  /** The last frame that was sent with this op. */
  last(op: string): Record<string, unknown> {
    const frame = this.sent.filter((each) => each.op === op).pop();
    if (!frame) throw new Error(`no ${op} was sent`);
    return frame;
  }

  count(op: string): number {
    return this.sent.filter((each) => each.op === op).length;
  }
}

export class FakeEventSource implements EventSourceLike {
  readyState = 0;
  onopen: unknown = null;
  onmessage: unknown = null;
  onerror: unknown = null;
  readonly listeners = new Map<string, (event: { data: string }) => void>();
  readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  addEventListener(type: string, listener: (event: { data: string }) => void): void {
    this.listeners.set(type, listener);
  }

  close(): void {
    this.readyState = 2;
  }
}

export class FakeRequest {
  readonly url: URL;
  readonly headers: Headers;
  readonly method: string;
  readonly body: string;
  /** Whether the client still wants it. */
  live = false;
  #stream: ReadableStreamDefaultController<Uint8Array> | undefined;
  #resolve: (response: Response) => void = () => {};
  #reject: (error: unknown) => void = () => {};
  readonly response: Promise<Response>;

  constructor(world: World, url: string, init: RequestInit) {
    this.url = new URL(url);
    this.headers = new Headers(init.headers);
    this.method = init.method ?? "GET";
    this.body = typeof init.body === "string" ? init.body : "";
    this.response = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    init.signal?.addEventListener("abort", () => {
      if (this.live) {
        world.log.push({ drop: true });
        this.failed();
      } else this.#reject(new Error("aborted"));
    });
  }

  answer(status: number, body: unknown = {}, headers: Record<string, string> = {}): void {
    this.#resolve(new Response(status === 204 ? null : JSON.stringify(body), { status, headers }));
  }

  text(text: string): void {
    this.#resolve(new Response(text, { status: 200, headers: { "content-type": "text/javascript" } }));
  }

  stream(contentType = "text/event-stream; charset=utf-8"): void {
    this.live = true;
    const body = new ReadableStream<Uint8Array>({ start: (controller) => void (this.#stream = controller) });
    this.#resolve(new Response(body, { status: 200, headers: { "content-type": contentType } }));
  }

  bytes(bytes: string | Uint8Array): void {
    this.#stream?.enqueue(typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes);
  }

  ended(): void {
    this.live = false;
    this.#stream?.close();
  }

  failed(): void {
    this.live = false;
    this.#reject(new TypeError("fetch failed"));
    this.#stream?.error(new TypeError("terminated"));
  }
}

export class World {
  time = 1_000;
  readonly log: Record<string, unknown>[] = [];
  readonly sockets: FakeSocket[] = [];
  readonly requests: FakeRequest[] = [];
  readonly sources: FakeEventSource[] = [];
  readonly timers = new Set<Timer>();
  readonly sleepers = new Set<() => void>();
  /** Who wants to know when the page is left. */
  readonly leavers = new Set<() => void>();
  /** What `random()` gives. */
  chance = 0;
  readonly environment: Environment;

  constructor() {
    const world = this;
    let keys = 0;
    this.environment = {
      now: () => this.time,
      // Keys of publishes are made of many draws; delays of one. Only keys need to differ.
      random: () => this.chance + (++keys % 1000) * 1e-9,
      later: (ms, run) => {
        const timer = { at: this.time + ms, run };
        this.timers.add(timer);
        return () => void this.timers.delete(timer);
      },
      onWake: (run, leave = () => {}) => {
        const own = () => run();
        const ownLeave = () => leave();
        this.sleepers.add(own);
        this.leavers.add(ownLeave);
        return () => {
          this.sleepers.delete(own);
          this.leavers.delete(ownLeave);
        };
      },
      fetch: (input, init = {}) => {
        const request = new FakeRequest(this, String(input), init);
        this.requests.push(request);
        if (request.method === "GET") this.log.push({ connect: { cursor: request.headers.get("last-event-id") } });
        return request.response;
      },
      WebSocket: class extends FakeSocket {
        constructor(url: string, protocols: string[]) {
          super(world, url, protocols);
          world.sockets.push(this);
          world.log.push({ connect: {} });
        }
      },
      EventSource: class extends FakeEventSource {
        constructor(url: string) {
          super(url);
          world.sources.push(this);
        }
      },
    };
  }

  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (!socket) throw new Error("no WebSocket was opened");
    return socket;
  }

  get request(): FakeRequest {
    const request = this.requests.at(-1);
    if (!request) throw new Error("nothing was requested");
    return request;
  }

  /** Let promises and streams move on. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Let time pass; timers run in their order. */
  async advance(ms: number): Promise<void> {
    const until = this.time + ms;
    await this.settle();
    for (;;) {
      const [next] = [...this.timers].filter(({ at }) => at <= until).sort((one, other) => one.at - other.at);
      if (!next) break;
      this.timers.delete(next);
      this.time = Math.max(this.time, next.at);
      next.run();
      await this.settle();
    }
    this.time = until;
  }

  /** The page is online or visible again. */
  async wake(): Promise<void> {
    for (const run of [...this.sleepers]) run();
    await this.settle();
  }

  /** Open the newest socket and acknowledge all subscribes on it. */
  async accept(cursor = "1"): Promise<void> {
    await this.settle();
    this.socket.open();
    await this.settle();
    for (const { op, ref, params } of [...this.socket.sent]) {
      if (op === "subscribe") this.socket.frame({ op: "ack", ref, cursor, params });
    }
    await this.settle();
  }
}

export function message(id: string, params?: object, type = "msg", data: unknown = { text: "a" }): object {
  return { id, channel: "chat", type, data, ...(params && { params }) };
}
