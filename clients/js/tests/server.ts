/** A server that speaks the protocol over real sockets, with one log in memory. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createDoor, type AddressInfo, type Server as Door, type Socket } from "node:net";
import { WebSocket, WebSocketServer } from "ws";

interface Stored {
  readonly id: string;
  readonly channel: string;
  readonly type: string;
  readonly data: unknown;
  readonly topic: string;
  readonly params: Record<string, unknown>;
}
type Frame = Record<string, unknown> & { params?: Record<string, unknown> };

export class FakeServer {
  /** Whether WebSocket upgrades are let through. */
  websocket = true;
  /** Files by path, for pages. */
  readonly files = new Map<string, string>();
  /** Refuse every token but this, where there is one. */
  token: string | undefined;
  /** Publishes that may come at once, and a second, where that is limited. */
  rate: { readonly burst: number; readonly perSecond: number } | undefined;
  /** Publishes that were refused for that. */
  refused = 0;
  #spent = 0;
  #spentAt = 0;
  /** Somebody between, who answers every connection with this text instead of the server. */
  between: string | undefined;
  /** How many connections they have answered. */
  answered = 0;
  upgrades = 0;
  subscribes = 0;
  #http: Server;
  #door: Door;
  #log: Stored[] = [];
  #keys = new Map<string, string>();
  #deliver = new Set<(message: Stored) => void>();
  #sockets = new Set<Socket>();
  #lastId = 100;

  constructor() {
    this.#http = createServer((request, response) => void this.#handle(request, response));
    this.#door = createDoor((socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      const { between } = this;
      if (between === undefined) return void this.#http.emit("connection", socket);
      socket.on("error", () => {});
      socket.once("data", () => {
        this.answered++;
        socket.end(between);
      });
    });
    const upgrader = new WebSocketServer({ noServer: true, handleProtocols: () => "tako.v1" });
    this.#http.on("upgrade", (request, socket, head) => {
      this.upgrades++;
      if (!this.websocket || request.url !== "/_tako/connect") return socket.destroy();
      upgrader.handleUpgrade(request, socket, head, (open) => this.#serve(open));
    });
  }

  /** Listen, at a port that it had before too: by then it may be the near end of somebody's connection, for a while. */
  async listen(port = 0): Promise<void> {
    for (let tries = 200; ; tries--) {
      try {
        return await new Promise<void>((resolve, reject) => {
          this.#door.once("error", reject);
          this.#door.listen(port, "127.0.0.1", () => (this.#door.off("error", reject), resolve()));
        });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE" || !tries) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  get port(): number {
    return (this.#door.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Cut every connection, without a word. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#door.close(resolve));
    this.cut();
    await closed;
  }

  publish(channel: string, params: Record<string, unknown>, type: string, data: unknown, key = ""): string {
    const known = key && this.#keys.get(key);
    if (known) return known;
    const id = String(++this.#lastId);
    if (key) this.#keys.set(key, id);
    const message = { id, channel, type, data, params, topic: channel + JSON.stringify(params) };
    this.#log.push(message);
    for (const deliver of [...this.#deliver]) deliver(message);
    return id;
  }

  /** Milliseconds until a publish may come; 0 where it may now, and then counts. */
  #overRate(): number {
    if (!this.rate) return 0;
    const { burst, perSecond } = this.rate;
    const now = performance.now();
    // It fills only once it was empty, so that a slow machine sees a refusal too.
    if (this.refused) this.#spent = Math.max(0, this.#spent - ((now - this.#spentAt) / 1000) * perSecond);
    this.#spentAt = now;
    if (this.#spent + 1 > burst) {
      this.refused++;
      return Math.ceil(((this.#spent + 1 - burst) / perSecond) * 1000);
    }
    this.#spent++;
    return 0;
  }

  get log(): readonly unknown[] {
    return this.#log.map(({ data }) => data);
  }

  get stored(): number {
    return this.#log.length;
  }

  #subscribe(topic: string, cursor: string | undefined, send: (message: Stored) => void): () => void {
    const own = (message: Stored) => message.topic === topic && send(message);
    if (cursor !== undefined) this.#log.filter(({ id }) => Number(id) > Number(cursor)).forEach(own);
    this.#deliver.add(own);
    return () => void this.#deliver.delete(own);
  }

  #serve(socket: WebSocket): void {
    const leave = new Map<string, () => void>();
    const send = (frame: object) => socket.send(JSON.stringify(frame));
    send({ op: "open", connection: "c", lifecycle: { keepaliveIntervalMs: 25_000, maxConnectionLifetimeMs: 7_200_000 } });
    socket.on("close", () => leave.forEach((each) => each()));
    socket.on("message", (text) => {
      const { op, ref, channel, params = {}, cursor, auth, type, data, idempotencyKey } = JSON.parse(String(text)) as Frame;
      const topic = String(channel) + JSON.stringify(params);
      if (op === "subscribe") {
        this.subscribes++;
        if (this.token && auth !== this.token) return send({ op: "error", ref, code: "credentials-missing", error: "Who?" });
        send({ op: "ack", ref, cursor: cursor ?? String(this.#lastId), params, lifecycle: {} });
        const push = ({ topic: _, ...message }: Stored) => send(message);
        leave.set(topic, this.#subscribe(topic, cursor as string | undefined, push));
      } else if (op === "unsubscribe") {
        leave.get(topic)?.();
        send({ op: "ack", ref });
      } else if (op === "publish") {
        const retryAfterMs = this.#overRate();
        if (retryAfterMs) return send({ op: "error", ref, code: "rate-limited", error: "Too many requests.", retryAfterMs });
        send({ op: "ack", ref, id: this.publish(String(channel), params, String(type), data, String(idempotencyKey)) });
      } else send({ op: "pong", ref });
    });
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.url);
    const file = this.files.get(url.pathname);
    if (file !== undefined) {
      const type = url.pathname.endsWith(".js") ? "text/javascript" : "text/html";
      return void response.writeHead(200, { "content-type": type }).end(file);
    }
    if (!url.pathname.startsWith("/_tako/channels/")) return void response.writeHead(404).end();
    const [, , , channel = "", tail] = url.pathname.split("/");
    const params = Object.fromEntries([...url.searchParams].filter(([name]) => !["stale", "after", "limit", "last_event_id"].includes(name)));
    const topic = channel + JSON.stringify(params);
    if (tail === "history") {
      const messages = this.#log.filter((message) => message.topic === topic);
      return void response.end(JSON.stringify({ messages, cursor: String(this.#lastId), more: false }));
    }
    if (request.method === "POST") {
      let body = "";
      for await (const piece of request) body += String(piece);
      if (this.#overRate()) {
        response.writeHead(429, { "content-type": "application/json", "retry-after": "1" });
        return void response.end(JSON.stringify({ code: "rate-limited", error: "Too many requests." }));
      }
      const { type, data } = JSON.parse(body) as Frame;
      const key = String(request.headers["idempotency-key"]);
      const id = this.publish(channel, params, String(type), data, key);
      return void response.end(JSON.stringify({ id, channel, type, data }));
    }
    const query = url.searchParams.get("last_event_id") ?? undefined;
    const cursor = (request.headers["last-event-id"] as string | undefined) ?? query;
    response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
    response.write(`retry: 100\n\nid: ${cursor ?? this.#lastId}\n\n`);
    const leave = this.#subscribe(topic, cursor, ({ topic: _, params: __, ...message }) =>
      response.write(`id: ${message.id}\ndata: ${JSON.stringify(message)}\n\n`),
    );
    response.on("close", leave);
  }
}
