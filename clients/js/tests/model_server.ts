/** A server of channels in memory, with a log, behind the fake sockets of a test. */

import type { FakeSocket } from "./world.js";

export interface Stored {
  readonly id: string;
  readonly channel: string;
  readonly params: Record<string, unknown>;
  readonly type: string;
  readonly data: unknown;
}

interface Frame {
  readonly op?: string;
  readonly ref?: number;
  readonly channel?: string;
  readonly params?: Record<string, unknown>;
  readonly cursor?: string;
  readonly auth?: string;
  readonly stale?: string;
  readonly type?: string;
  readonly data?: unknown;
  readonly idempotencyKey?: string;
}

const keyOf = (channel: string, params: object = {}) => `${channel}${JSON.stringify(params)}`;

export class ModelServer {
  up = true;
  /** Nothing is answered any more, as by a network that loses everything. */
  silent = false;
  readonly log: Stored[] = [];
  /** Each publish of a client, also those that a key made one with an earlier one. */
  readonly published: unknown[] = [];
  /** Older cursors than this are too old. */
  removed = 0;
  lastId = 100;
  /** The most connections that were open at a time. */
  most = 0;
  /** All subscribes that came. */
  readonly subscribes: Frame[] = [];
  /** Why a subscribe is refused, if it is. */
  refuse: (frame: Frame) => string | undefined = () => undefined;
  refusePublish: (data: unknown) => string | undefined = () => undefined;
  /** Publishes are stored, and their answers are lost. */
  answerless = false;
  readonly states: unknown[] = [];
  /** The topics of each connection, and the cursor up to which they were given. */
  readonly connections = new Map<FakeSocket, Map<string, true>>();
  readonly #keys = new Map<string, string>();

  connected(socket: FakeSocket): void {
    queueMicrotask(() => {
      if (socket.closed) return;
      if (!this.up) return socket.lose();
      this.connections.set(socket, new Map());
      this.most = Math.max(this.most, this.open);
      socket.open();
    });
  }

  /** Connections that their pages have not closed. */
  get open(): number {
    return [...this.connections.keys()].filter(({ closed }) => !closed).length;
  }

  publish(channel: string, params: Record<string, unknown>, type: string, data: unknown): string {
    const message = { id: String(++this.lastId), channel, params, type, data };
    this.log.push(message);
    for (const [socket, topics] of this.connections) if (topics.has(keyOf(channel, params))) this.#send(socket, message);
    return message.id;
  }

  /** It stops; connections are cut. */
  stop(): void {
    this.up = false;
    const all = [...this.connections.keys()];
    this.connections.clear();
    for (const socket of all) if (!socket.closed) socket.lose();
  }

  #send(socket: FakeSocket, frame: unknown): void {
    const text = JSON.stringify(frame);
    queueMicrotask(() => {
      if (!socket.closed && !this.silent && this.connections.has(socket)) socket.text(text);
    });
  }

  received(socket: FakeSocket, frame: Frame): void {
    const topics = this.connections.get(socket);
    if (!topics || socket.closed || this.silent) return;
    const { op, ref, channel = "", params = {} } = frame;
    const key = keyOf(channel, params);
    const newest = frame.cursor === "newest";
    const last = this.log.filter((one) => keyOf(one.channel, one.params) === key).at(-1)?.id;
    // A room whose state the app gives, as of a cursor that is somewhat older.
    const state = String(params.roomId).startsWith("state");
    const as = state ? Math.max(this.removed, this.lastId - 2) : 0;
    const whole = () => this.log.filter((one) => keyOf(one.channel, one.params) === key && Number(one.id) <= as).map(({ id }) => id);
    const give = () => {
      this.#send(socket, { id: String(as), channel, params, type: "tako.state", data: whole() });
      for (const one of this.log) if (keyOf(one.channel, one.params) === key && Number(one.id) > as) this.#send(socket, one);
      answer({ op: "synced", cursor: String(this.lastId) });
    };
    const cursor = newest && !state ? String(last ? Number(last) - 1 : this.lastId) : frame.cursor;
    const answer = (more: object) => this.#send(socket, { ref, channel, params, ...more });
    if (op === "subscribe") {
      this.subscribes.push(frame);
      const refused = this.refuse(frame) ?? (topics.has(key) ? "body-invalid" : undefined);
      if (refused) return answer({ op: "error", code: refused, error: "No." });
      const old = cursor !== undefined && cursor !== "0" && Number(cursor) < this.removed;
      if (old && frame.stale !== "reset") return answer({ op: "error", code: "replay-too-old", error: "Too old." });
      topics.set(key, true);
      const head = String(this.lastId);
      const stated = state && (old || newest);
      const ack = stated ? "newest" : old ? head : (cursor ?? head);
      answer({ op: "ack", cursor: ack, subject: "u1" });
      if (old) answer({ op: "reset", reason: "replay-too-old", cursor: ack });
      if (stated) return give();
      if (old) return;
      const from = cursor === undefined ? this.lastId : Math.max(Number(cursor), this.removed);
      for (const one of this.log) if (keyOf(one.channel, one.params) === key && Number(one.id) > from) this.#send(socket, one);
      if (newest) answer({ op: "synced", cursor: head });
    } else if (op === "unsubscribe") {
      answer(topics.delete(key) ? { op: "ack" } : { op: "error", code: "not-found", error: "It is not followed." });
    } else if (op === "publish") {
      this.published.push(frame.data);
      const refused = this.refusePublish(frame.data);
      if (refused) return answer({ op: "error", code: refused, error: "No." });
      const known = this.#keys.get(`${key} ${frame.idempotencyKey}`);
      const id = known ?? this.publish(channel, params, String(frame.type), frame.data);
      this.#keys.set(`${key} ${frame.idempotencyKey}`, id);
      if (!this.answerless) answer({ op: "ack", id });
    } else if (op === "presence") {
      this.states.push((frame as { state?: unknown }).state);
      answer({ op: "ack" });
    } else answer({ op: "pong" });
  }
}
