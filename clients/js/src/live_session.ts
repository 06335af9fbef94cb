/**
 * All live objects of a page, attached to the wire that there is (protocol, live objects,
 * sections 3 and 4).
 *
 * Rule: each wire is asked once for all that is there, and once more for each that
 * comes later; the end of the last object leaves nothing but the idle timer.
 */

import { resolveCredentials } from "./credentials.js";
import { type Connection, type ConnectionSettings, createConnection } from "./live_connection.js";
import { type Frame, NETWORK, type Position, readBinary, readText, type Trouble, write } from "./live_frames.js";
import type { PageLifecycle } from "./page_lifecycle.js";
import type { ObjectSession, LiveObject } from "./live_object.js";
import type { TakoError } from "./index.js";
import { errorOf, ofCode, type Outcome, withCredentials } from "./outcome.js";
import { FIRST_REF, type ControlFrame } from "./live_wires.js";
import { connectUrl } from "./topic.js";
import { type Watchdog, watch } from "./watchdog.js";

/** Half of the time for the answer to an attach. */
const ATTACH_MS = 5_000;

/** Limits until the server has sent its own in `settings`. */
const DEFAULTS = {
  connectTtlMs: 5_000,
  reconnectTimeoutMs: 60_000,
  idleTimeoutMs: 60_000,
  pingIntervalMs: 5_000,
  replayBytes: 1_048_576,
  replayBytesBinary: 2_097_152,
  bufferBytes: 16_777_216,
  bufferBytesBinary: 16_777_216,
  windowBytes: 1_048_576,
  windowMessages: 1_024,
  maxMessageBytes: 1_048_576,
};

export interface SessionSettings extends ConnectionSettings {
  readonly secret: string;
  readonly lifecycle: PageLifecycle;
  /** It is over; another one is made for the next object. */
  onEnd(): void;
}

/** One object in an answer. */
type Entry = Position & { readonly id: string; readonly error?: Trouble | null };

export class Session implements ObjectSession {
  readonly bounds = { ...DEFAULTS };
  /** The last error of the connection; the cause of the end of an object that ends for it. */
  lastError: TakoError | undefined;
  readonly #settings: SessionSettings;
  readonly #connection: Connection;
  readonly #objects = new Map<string, LiveObject>();
  /** Ids that were sent on this wire. */
  readonly #listed = new Set<string>();
  /** The wire carries our objects. */
  #attached = false;
  #attachRef = 0;
  #lastRef = FIRST_REF;
  #watchdog: Watchdog | undefined;
  #cancelIdle: (() => void) | undefined;
  #openScheduled = false;
  #credentialsRefused = false;
  readonly #ending = new AbortController();
  #over = false;
  readonly #stopHideListener: () => void;

  constructor(settings: SessionSettings) {
    this.#settings = settings;
    this.#connection = createConnection(settings, {
      ready: () => void this.#attach(),
      lost: (outcome) => this.#lost(outcome),
      refused: (outcome) => this.#refused(outcome),
      text: (frame, text) => this.#text(frame, text),
      binary: (payload) => this.#read(() => readBinary(payload)),
    });
    this.#stopHideListener = settings.lifecycle.onHide((kept) => this.#hidden(kept));
  }

  get environment() {
    return this.#settings.environment;
  }

  /** An object has come with a result. */
  add(id: string, object: LiveObject): void {
    this.#objects.set(id, object);
    this.#cancelIdle?.();
    this.#cancelIdle = undefined;
    this.#connection.open();
    this.#openMore();
  }

  /** End everything at once. */
  leave(trouble = NETWORK): void {
    if (this.#attached) this.#send({ op: "live.leave" });
    this.#detach();
    for (const object of [...this.#objects.values()]) {
      object.act((machine, now) => {
        machine.end(trouble, now);
        // Nobody will ask any more how it ended.
        machine.receive({ do: "end", size: 0, error: null }, now);
      });
    }
    this.#finish();
  }

  transmit(id: string, frame: Frame): void {
    if (this.#attached) this.#connection.send(write(id, frame));
  }

  forgotten(id: string): void {
    this.#objects.delete(id);
    this.#listed.delete(id);
    if (this.#objects.size || this.#over) return;
    if (!this.#attached) return this.#finish();
    this.#cancelIdle ??= this.environment.later(this.bounds.idleTimeoutMs, () => this.#finish());
  }

  broken(): void {
    // A turn later: the object that says so is in the middle of its work.
    queueMicrotask(() => this.leave());
  }

  #lost(outcome: Outcome): void {
    this.lastError = errorOf(outcome);
    this.#detach();
  }

  #refused(outcome: Outcome): void {
    this.lastError = errorOf(outcome);
    this.leave();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#ending.abort();
    this.#stopHideListener();
    this.#cancelIdle?.();
    this.#watchdog?.stop();
    this.#connection.close();
    this.#settings.onEnd();
  }

  /** @param kept the browser may show it again, and all goes on then */
  #hidden(kept: boolean): void {
    if (kept) this.#connection.fail();
    // A WebSocket says it by its close.
    else if (!this.#connection.onSocket()) {
      const { base, secret: session, lifecycle } = this.#settings;
      lifecycle.beacon(`${connectUrl(base).replace(/^ws/, "http")}/leave`, JSON.stringify({ session }));
    }
  }

  #send(frame: object): void {
    this.#connection.send(JSON.stringify(frame));
  }

  /** Notice where nothing is heard for twice as long. */
  #watch(ms: number): void {
    this.#watchdog?.stop();
    this.#watchdog = watch(this.environment, ms, () => this.#connection.fail());
  }

  // attaching

  async #attach(): Promise<void> {
    this.#detach();
    const { credentials, secret: session } = this.#settings;
    const ref = (this.#attachRef = ++this.#lastRef);
    // Without them the server says what it lacks.
    const auth = await resolveCredentials(this.environment, credentials, this.#credentialsRefused, this.#ending.signal).catch(() => undefined);
    if (ref !== this.#attachRef || this.#over) return;
    this.#watch(ATTACH_MS);
    const open = [...this.#objects].map(([id, object]) => this.#entry(id, object));
    this.#send({ op: "live.attach", ref, session, auth, open });
  }

  #entry(id: string, object: LiveObject): object {
    this.#listed.add(id);
    let entry: object = {};
    object.act((machine) => {
      entry = machine.phase === "over" ? { id, end: machine.outcome } : { id, ...machine.position() };
    });
    return entry;
  }

  /** Objects of one turn's results go in one frame. */
  #openMore(): void {
    if (this.#openScheduled || !this.#attached) return;
    this.#openScheduled = true;
    queueMicrotask(() => {
      this.#openScheduled = false;
      const more = [...this.#objects].filter(([id]) => !this.#listed.has(id));
      if (!this.#attached || !more.length) return;
      this.#send({ op: "live.open", ref: ++this.#lastRef, open: more.map(([id, object]) => this.#entry(id, object)) });
    });
  }

  #opened({ open = [], ended = [] }: { open?: Entry[]; ended?: Entry[] }): void {
    for (const { id, error = null } of ended) {
      const object = this.#objects.get(id);
      if (!object) continue;
      object.act((machine, now) => machine.receive({ do: "end", size: 0, error }, now));
      this.transmit(id, { do: "ended", size: 0 });
    }
    for (const { id, ...position } of open) {
      this.#objects.get(id)?.act((machine, now) => {
        machine.attach(position, now);
        // It ended while the answer was on its way.
        if (machine.phase === "over") this.transmit(id, { do: "end", size: 0, error: machine.outcome });
      });
    }
  }

  #detach(): void {
    this.#attached = false;
    this.#attachRef = 0;
    this.#listed.clear();
    this.#watchdog?.stop();
    this.#watchdog = undefined;
    for (const object of this.#objects.values()) object.act((machine, now) => machine.detach(now));
  }

  // frames

  #text(frame: ControlFrame, text: string): void {
    this.#watchdog?.heard();
    switch (frame.op) {
      case "live":
        return this.#read(() => readText(text, frame));
      case "ping":
        return this.#pong();
      case "live.attached":
        if (frame.ref !== this.#attachRef) return;
        Object.assign(this.bounds, frame.settings);
        this.#attached = true;
        this.#credentialsRefused = false;
        this.lastError = undefined;
        this.#watch(this.bounds.pingIntervalMs);
        this.#opened(frame);
        this.#openMore();
        return this.#connection.confirm();
      case "live.opened":
        return this.#opened(frame);
      case "live.refused":
      case "error":
        if (frame.ref !== undefined && frame.ref < this.#attachRef) return;
        return this.#notAttached(withCredentials(ofCode(frame.code, frame.error, frame.retryAfterMs), this.#settings.credentials));
    }
  }

  /** A temporary refusal is tried again for as long as objects wait; a final one ends them. */
  #notAttached(outcome: Outcome): void {
    if (outcome.action === "stop" || outcome.action === "gone") return this.#refused(outcome);
    this.#credentialsRefused = outcome.action === "reauthenticate";
    this.#connection.fail(outcome.waitMs);
    this.lastError = errorOf(outcome);
  }

  #read(read: () => [id: string, frame: Frame]): void {
    this.#watchdog?.heard();
    try {
      const [id, frame] = read();
      this.#objects.get(id)?.act((machine, now) => machine.receive(frame, now));
    } catch (error) {
      console.error(error);
      this.leave();
    }
  }

  #pong(): void {
    for (const object of [...this.#objects.values()]) object.act((machine) => machine.report());
    this.#send({ op: "pong" });
  }
}
